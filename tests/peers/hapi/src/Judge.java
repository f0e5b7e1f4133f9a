import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.DefaultProfileValidationSupport;
import ca.uhn.fhir.validation.FhirValidator;
import ca.uhn.fhir.validation.ResultSeverityEnum;
import ca.uhn.fhir.validation.SingleValidationMessage;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Set;
import org.hl7.fhir.common.hapi.validation.support.CommonCodeSystemsTerminologyService;
import org.hl7.fhir.common.hapi.validation.support.InMemoryTerminologyServerValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.NpmPackageValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.SnapshotGeneratingValidationSupport;
import org.hl7.fhir.common.hapi.validation.support.ValidationSupportChain;
import org.hl7.fhir.common.hapi.validation.validator.FhirInstanceValidator;
import org.hl7.fhir.r5.elementmodel.Element;
import org.hl7.fhir.r5.model.CanonicalResource;
import org.hl7.fhir.r5.utils.validation.IResourceValidator;
import org.hl7.fhir.r5.utils.validation.IValidatorResourceFetcher;

/**
 * HAPI's validator for R4: a resource from each line of standard input, a line for each warning and error.
 * Arguments are packages on the class path whose profiles it knows too. It fetches nothing.
 */
public final class Judge {
    public static void main(String[] arguments) throws Exception {
        FhirContext context = FhirContext.forR4();
        ValidationSupportChain known = new ValidationSupportChain(new DefaultProfileValidationSupport(context));
        NpmPackageValidationSupport packages = new NpmPackageValidationSupport(context);
        for (String name : arguments) {
            packages.loadPackageFromClasspath("classpath:" + name);
        }
        known.addValidationSupport(packages);
        known.addValidationSupport(new CommonCodeSystemsTerminologyService(context));
        known.addValidationSupport(new InMemoryTerminologyServerValidationSupport(context));
        known.addValidationSupport(new SnapshotGeneratingValidationSupport(context));
        FhirInstanceValidator instances = new FhirInstanceValidator(known);
        instances.setErrorForUnknownProfiles(false);
        instances.setValidatorResourceFetcher(new Nowhere());
        FhirValidator validator = context.newValidator().registerValidatorModule(instances);
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        int number = 0;
        for (String line = in.readLine(); line != null; line = in.readLine(), number++) {
            for (SingleValidationMessage issue : validator.validateWithResult(line).getMessages()) {
                if (issue.getSeverity().compareTo(ResultSeverityEnum.WARNING) >= 0) {
                    String said = issue.getMessage().replaceAll("\\s+", " ");
                    out.println(String.join("\t", String.valueOf(number), issue.getSeverity().getCode(),
                        String.valueOf(issue.getMessageId()), String.valueOf(issue.getLocationString()), said));
                }
            }
        }
        out.println("judged\t" + number);
        out.flush();
    }

    /** Nothing is fetched: whatever the validator does not have by itself is not known. */
    private static final class Nowhere implements IValidatorResourceFetcher {
        @Override
        public Element fetch(IResourceValidator validator, Object context, String url) {
            return null;
        }

        @Override
        public boolean resolveURL(
                IResourceValidator validator, Object context, String path, String url, String type, boolean canonical) {
            return true;
        }

        @Override
        public byte[] fetchRaw(IResourceValidator validator, String url) {
            return null;
        }

        @Override
        public IValidatorResourceFetcher setLocale(Locale locale) {
            return this;
        }

        @Override
        public CanonicalResource fetchCanonicalResource(IResourceValidator validator, Object context, String url) {
            return null;
        }

        @Override
        public boolean fetchesCanonicalResource(IResourceValidator validator, String url) {
            return false;
        }

        @Override
        public Set<String> fetchCanonicalResourceVersions(IResourceValidator validator, Object context, String url) {
            return Set.of();
        }
    }

    private Judge() {}
}
