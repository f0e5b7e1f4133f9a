import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.parser.StrictErrorHandler;
import ca.uhn.fhir.rest.annotation.Transaction;
import ca.uhn.fhir.rest.annotation.TransactionParam;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.server.RequestDetails;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.exceptions.InvalidRequestException;
import ca.uhn.fhir.rest.server.provider.HashMapResourceProvider;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.ChargeItem;
import org.hl7.fhir.r4.model.Provenance;
import org.hl7.fhir.r4.model.Resource;

/** A HAPI FHIR server (R4) on loopback that keeps charge items and their provenance in memory. */
public final class Peer {
    public static void main(String[] arguments) throws Exception {
        FhirContext context = FhirContext.forR4();
        context.setParserErrorHandler(new StrictErrorHandler());
        HashMapResourceProvider<ChargeItem> charges = new HashMapResourceProvider<>(context, ChargeItem.class);
        HashMapResourceProvider<Provenance> sources = new HashMapResourceProvider<>(context, Provenance.class);
        RestfulServer fhir = new RestfulServer(context);
        fhir.setResourceProviders(charges, sources);
        fhir.registerProvider(new Transactions(charges, sources));
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[0]));
        server.addConnector(connector);
        ServletContextHandler handler = new ServletContextHandler("/");
        handler.addServlet(new ServletHolder(fhir), "/r4/*");
        server.setHandler(handler);
        server.start();
        System.out.println("ready " + connector.getLocalPort());
        System.out.flush();
        server.join();
    }

    /** Transactions of PUTs, entry by entry; one that cannot be read was refused before by the strict parser. */
    public static final class Transactions {
        private final HashMapResourceProvider<ChargeItem> charges;
        private final HashMapResourceProvider<Provenance> sources;

        Transactions(HashMapResourceProvider<ChargeItem> charges, HashMapResourceProvider<Provenance> sources) {
            this.charges = charges;
            this.sources = sources;
        }

        @Transaction
        public synchronized Bundle transaction(@TransactionParam Bundle asked, RequestDetails details) {
            Bundle told = new Bundle();
            told.setType(Bundle.BundleType.TRANSACTIONRESPONSE);
            for (Bundle.BundleEntryComponent entry : asked.getEntry()) {
                MethodOutcome outcome = put(entry.getResource(), details);
                Bundle.BundleEntryResponseComponent response = told.addEntry().getResponse();
                response.setStatus(Boolean.TRUE.equals(outcome.getCreated()) ? "201 Created" : "200 OK");
                response.setLocation(outcome.getId().getValue());
            }
            return told;
        }

        private MethodOutcome put(Resource resource, RequestDetails details) {
            if (resource instanceof ChargeItem item) {
                return charges.update(item, null, details);
            }
            if (resource instanceof Provenance source) {
                return sources.update(source, null, details);
            }
            throw new InvalidRequestException("only charge items and their provenance are kept here");
        }
    }

    private Peer() {}
}
