"""`python -m fhir_radcharge`: the same as `fhir-radcharge`."""

from fhir_radcharge.cli import main

if __name__ == "__main__":
    main()
