"""Short runs of the simulated world: whatever goes wrong, nothing is lost and nothing is charged twice."""

import pytest
from rig.engines import shipped_site
from rig.faults import KINDS
from rig.running import run_story

SEEDS = 16


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_promise_is_kept_in_a_run(kind: str, seed: int) -> None:
    assert run_story(seed, kind, shipped_site()).broken is None


@pytest.mark.parametrize("kind", ["all", "death"])
def test_the_same_seed_is_the_same_run_step_by_step(kind: str) -> None:
    first, second = (run_story(5, kind, shipped_site()) for _ in range(2))

    assert first == second
