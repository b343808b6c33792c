//! A real Kafka that requires TLS, and a login or a client's certificate. All tests share it, with certificates of their own.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// A JVM may start slowly on a busy machine.
const START: Duration = Duration::from_secs(120);
pub(crate) const USERNAME: &str = "alice";
pub(crate) const PASSWORD: &str = "alice-secret";

/// A running broker. It ends when the process that holds its standard input ends, in whatever way.
pub(crate) struct SecuredKafka {
    /// HOST:PORT that requires a login over TLS.
    pub(crate) login: String,
    /// HOST:PORT that requires a client's certificate.
    pub(crate) certificate: String,
    /// The authority that signed the broker's certificate and may sign those of clients.
    pub(crate) authority: Authority,
    _folder: tempfile::TempDir,
    _broker: Child,
}

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM text.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {:08x}", rand::random::<u32>()));
        let key = KeyPair::generate().unwrap();
        Self { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    pub(crate) fn sign(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

impl SecuredKafka {
    /// The broker. The first test that needs it starts it.
    pub(crate) fn get() -> &'static Self {
        static RUNNING: OnceLock<SecuredKafka> = OnceLock::new();
        RUNNING.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let Identity { certificate, key } = authority.sign("127.0.0.1");
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        std::fs::write(folder.path().join("server.pem"), key + &certificate).unwrap();
        let ports = free_ports();
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let log = folder.path().join("kafka.log");
        let broker = Command::new(package.join("../servers/python.sh"))
            .arg(package.join("tests/secured_kafka.py"))
            .arg(folder.path())
            .args(ports.map(|port| port.to_string()))
            .stdin(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let [_, login, certificate] = ports.map(|port| format!("127.0.0.1:{port}"));
        let started = Self { login, certificate, authority, _folder: folder, _broker: broker };
        let consumer: BaseConsumer = started.config().set("group.id", "started").create().unwrap();
        let deadline = Instant::now() + START;
        while let Err(error) = consumer.fetch_metadata(None, Duration::from_secs(2)) {
            let log = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "the broker does not respond: {error}\n{}", log());
        }
        started
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.login)
            .set("security.protocol", "SASL_SSL")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("sasl.username", USERNAME)
            .set("sasl.password", PASSWORD)
            .set("ssl.ca.pem", &self.authority.pem);
        config
    }

    /// Creates a topic with ten numbers in it. Returns its name.
    pub(crate) fn ten_numbers(&self) -> String {
        let name = format!("secured.events-{:08x}", rand::random::<u32>());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
            let new = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
            let made = admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
            assert!(made.iter().all(Result::is_ok), "{made:?}");
        });
        let producer: BaseProducer = self.config().create().unwrap();
        for number in 0..10 {
            let value = number.to_string();
            producer.send(BaseRecord::<[u8], str>::to(&name).payload(&value)).unwrap();
        }
        producer.flush(Duration::from_secs(20)).unwrap();
        name
    }
}

fn free_ports() -> [u16; 3] {
    // All are held at once, so that they differ.
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
