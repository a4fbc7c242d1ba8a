// Asks ADDRESS PORT HOST [ROOT] for TLS as an application in Node would, and says what Node makes of the certificate.
const [address, port, host, root] = process.argv.slice(2);
const options = { host: address, port: Number(port), servername: host };
if (root) options.ca = require('node:fs').readFileSync(root);
const connection = require('node:tls').connect(options, () => process.exit(0));
connection.on('error', (error) => {
  console.log(`${error.code}: ${error.message}`);
  process.exit(1);
});
