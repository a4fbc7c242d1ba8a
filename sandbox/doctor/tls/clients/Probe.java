// Asks ADDRESS PORT HOST [ROOT] for TLS as an application in Java would, and says what Java makes of the certificate.
import java.io.FileInputStream;
import java.net.Socket;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Probe {
    public static void main(String[] words) throws Exception {
        KeyStore trusted = null;
        if (words.length > 3) {
            trusted = KeyStore.getInstance(KeyStore.getDefaultType());
            trusted.load(null, null);
            try (FileInputStream file = new FileInputStream(words[3])) {
                trusted.setCertificateEntry("root", CertificateFactory.getInstance("X.509").generateCertificate(file));
            }
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        int port = Integer.parseInt(words[1]);
        Socket plain = new Socket(words[0], port);
        SSLSocket connection = (SSLSocket) context.getSocketFactory().createSocket(plain, words[2], port, true);
        SSLParameters parameters = connection.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        connection.setSSLParameters(parameters);
        try {
            connection.startHandshake();
        } catch (SSLException refused) {
            System.out.println(refused.getMessage());
            System.exit(1);
        }
        System.exit(0);
    }
}
