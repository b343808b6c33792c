//! The brokers of a mapping, and how the Kafka client connects to them.

use kafka_to_search::account::mappings::{Access, KafkaSource};
use kafka_to_search::aws_api::{Aws, AwsError};
use kafka_to_search::kafka_options::KafkaOptions;
use kafka_to_search::msk_iam::MskIam;
use lambda_support::secrets::SecretStore;
use serde::Deserialize;
use thiserror::Error;

use crate::config::AccountConfig;
use crate::login::{self, Login, LoginError};

/// Why it is not known how to connect.
#[derive(Debug, Error)]
pub enum KafkaError {
    /// MSK can't be asked for its brokers.
    #[error("{0}; or set KafkaBootstrapServers to the brokers")]
    Aws(#[from] AwsError),
    /// MSK's response has another form.
    #[error("MSK's list of brokers does not have the documented form: {0}")]
    Brokers(#[source] serde_json::Error),
    /// The mapping has no brokers.
    #[error("the mapping names no brokers: set KafkaBootstrapServers")]
    NoBrokers,
    /// The cluster has no brokers for this login.
    #[error("the cluster {0} has no brokers for the login of the mapping: set KafkaBootstrapServers")]
    NoBrokersForLogin(String),
    /// The login can't be had.
    #[error(transparent)]
    Login(#[from] LoginError),
}

/// The brokers of an MSK cluster, by what they take:
/// <https://docs.aws.amazon.com/msk/1.0/apireference/clusters-clusterarn-bootstrap-brokers.html>.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Brokers {
    bootstrap_broker_string: Option<String>,
    bootstrap_broker_string_tls: Option<String>,
    bootstrap_broker_string_sasl_scram: Option<String>,
    bootstrap_broker_string_sasl_iam: Option<String>,
    bootstrap_broker_string_vpc_connectivity_tls: Option<String>,
    bootstrap_broker_string_vpc_connectivity_sasl_scram: Option<String>,
    bootstrap_broker_string_vpc_connectivity_sasl_iam: Option<String>,
}

/// What brokers of MSK expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    /// The mapping's login.
    Login,
    /// A token of IAM.
    Iam,
    /// TLS alone.
    Tls,
    /// Nothing.
    Nothing,
}

/// How to connect to the brokers of a mapping.
///
/// # Errors
/// [`KafkaError`]
pub async fn options(
    config: &AccountConfig,
    source: &KafkaSource,
    aws: &Aws,
    iam: &MskIam,
    secrets: &dyn SecretStore,
) -> Result<KafkaOptions, KafkaError> {
    let KafkaSource { bootstrap, cluster_arn, access } = source;
    let (bootstrap, expects) = match (&config.bootstrap, cluster_arn) {
        (Some(bootstrap), None) => (bootstrap.clone(), Expects::Login),
        (Some(bootstrap), Some(_)) => (bootstrap.clone(), given(bootstrap, access)),
        (None, Some(arn)) => {
            let body = aws.bootstrap_brokers(arn).await?;
            let brokers: Brokers = serde_json::from_slice(&body).map_err(KafkaError::Brokers)?;
            brokers.of(arn, access).ok_or_else(|| KafkaError::NoBrokersForLogin(arn.clone()))?
        }
        (None, None) if bootstrap.is_empty() => return Err(KafkaError::NoBrokers),
        (None, None) => (bootstrap.join(","), Expects::Login),
    };
    let mut properties = login::properties(access, secrets).await?;
    match expects {
        Expects::Login | Expects::Nothing => {}
        Expects::Iam => properties.push(login::system_ca()),
        Expects::Tls => {
            properties.extend([("security.protocol".to_owned(), "SSL".to_owned()), login::system_ca()]);
        }
    }
    properties.extend(config.properties.iter().cloned());
    let iam = (expects == Expects::Iam).then(|| iam.clone());
    Ok(KafkaOptions { bootstrap, properties, iam })
}

/// What brokers of MSK expect whose addresses were given by hand: without a login, port 9098 is IAM's, or 14001 and up through a VPC
/// connection, <https://docs.aws.amazon.com/msk/latest/developerguide/port-info.html>.
fn given(bootstrap: &str, access: &[Access]) -> Expects {
    if login::kind(access) != Login::None {
        return Expects::Login;
    }
    let port = bootstrap.split(',').next().and_then(|broker| broker.rsplit_once(':')).map(|(_, port)| port);
    match port {
        Some("9092") => Expects::Nothing,
        Some("9094") => Expects::Tls,
        _ => Expects::Iam,
    }
}

impl Brokers {
    /// The brokers for the mapping's login. Without one, they are those of IAM; a cluster without IAM takes anyone.
    fn of(self, arn: &str, access: &[Access]) -> Option<(String, Expects)> {
        let is_connection = arn.contains(":vpc-connection/");
        let choose = |direct: Option<String>, through: Option<String>| {
            if is_connection { through } else { direct }
        };
        let tls = choose(self.bootstrap_broker_string_tls, self.bootstrap_broker_string_vpc_connectivity_tls);
        let scram = choose(
            self.bootstrap_broker_string_sasl_scram,
            self.bootstrap_broker_string_vpc_connectivity_sasl_scram,
        );
        let iam = choose(
            self.bootstrap_broker_string_sasl_iam,
            self.bootstrap_broker_string_vpc_connectivity_sasl_iam,
        );
        let plain = choose(self.bootstrap_broker_string, None);
        match login::kind(access) {
            Login::Password => scram.map(|brokers| (brokers, Expects::Login)),
            Login::Certificate => tls.map(|brokers| (brokers, Expects::Login)),
            Login::None => iam
                .map(|brokers| (brokers, Expects::Iam))
                .or_else(|| tls.map(|brokers| (brokers, Expects::Tls)))
                .or_else(|| plain.map(|brokers| (brokers, Expects::Nothing))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CLUSTER: &str = "arn:aws:kafka:eu-central-1:1:cluster/c/u";
    const CONNECTION: &str = "arn:aws:kafka:eu-central-1:1:vpc-connection/2/c/u";

    fn access(kind: &str) -> Vec<Access> {
        vec![Access { kind: kind.into(), uri: "arn:s".into() }]
    }

    fn of(brokers: serde_json::Value, arn: &str, access: &[Access]) -> Option<(String, Expects)> {
        serde_json::from_value::<Brokers>(brokers).unwrap().of(arn, access)
    }

    #[test]
    fn a_mapping_reads_from_the_brokers_of_its_login() {
        let all = json!({
            "bootstrapBrokerString": "p:9092", "bootstrapBrokerStringTls": "t:9094", "bootstrapBrokerStringSaslScram": "s:9096",
            "bootstrapBrokerStringSaslIam": "i:9098", "bootstrapBrokerStringVpcConnectivitySaslIam": "v:14001",
        });
        let found = |arn, access: &[Access]| of(all.clone(), arn, access);
        assert_eq!(found(CLUSTER, &[]), Some(("i:9098".into(), Expects::Iam)));
        assert_eq!(found(CLUSTER, &access("SASL_SCRAM_512_AUTH")), Some(("s:9096".into(), Expects::Login)));
        let certificate = access("CLIENT_CERTIFICATE_TLS_AUTH");
        assert_eq!(found(CLUSTER, &certificate), Some(("t:9094".into(), Expects::Login)));
        assert_eq!(found(CONNECTION, &[]), Some(("v:14001".into(), Expects::Iam)));
        assert_eq!(found(CONNECTION, &certificate), None);
    }

    #[test]
    fn a_cluster_without_iam_takes_anyone() {
        let tls = json!({"bootstrapBrokerString": "p:9092", "bootstrapBrokerStringTls": "t:9094"});
        assert_eq!(of(tls, CLUSTER, &[]), Some(("t:9094".into(), Expects::Tls)));
        let plain = json!({"bootstrapBrokerString": "p:9092"});
        assert_eq!(of(plain, CLUSTER, &[]), Some(("p:9092".into(), Expects::Nothing)));
    }

    #[test]
    fn brokers_that_are_given_by_hand_expect_what_their_port_is_for() {
        for (bootstrap, expects) in [
            ("b1:9098,b2:9098", Expects::Iam),
            ("b1:14001", Expects::Iam),
            ("b1:9094", Expects::Tls),
            ("b1:9092", Expects::Nothing),
        ] {
            assert_eq!(given(bootstrap, &[]), expects, "{bootstrap}");
        }
        assert_eq!(given("b1:9098", &access("SASL_SCRAM_512_AUTH")), Expects::Login);
    }
}
