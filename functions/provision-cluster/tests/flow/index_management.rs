//! Index State Management as a stand-in: no registry serves the plugin. It responds as index-management 3.4.0.0 does, for
//! OpenSearch 3.4.0: <https://github.com/opensearch-project/index-management/tree/3.4.0.0>. Each response names its source,
//! below `src/main/kotlin/org/opensearch/indexmanagement/indexstatemanagement`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// An index as the plugin sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub(crate) policy: Option<String>,
    /// Version of the policy that the index follows. The plugin knows none before the index's first step.
    pub(crate) policy_seq_no: Option<i64>,
    /// Version that the index takes at its next step.
    pub(crate) next_seq_no: Option<i64>,
    pub(crate) is_between_states: bool,
    pub(crate) is_closed: bool,
    /// The plugin finds the policies of indices by a search, which sees a new one after a second.
    pub(crate) search_lags: bool,
    /// Deleted as soon as it was explained.
    pub(crate) is_short_lived: bool,
    /// Its policy is removed by a person as soon as it was explained.
    pub(crate) is_unmanaged_soon: bool,
}

impl Index {
    pub(crate) fn unmanaged() -> Self {
        Self::default()
    }

    pub(crate) fn closed() -> Self {
        Self { is_closed: true, ..Self::default() }
    }

    /// Follows a version of a policy.
    pub(crate) fn managed(policy: &str, seq_no: i64) -> Self {
        Self { policy: Some(policy.to_owned()), policy_seq_no: Some(seq_no), ..Self::default() }
    }

    /// Has a policy, but made no step with it yet.
    pub(crate) fn not_started(policy: &str) -> Self {
        Self { policy: Some(policy.to_owned()), ..Self::default() }
    }

    /// Makes the step that the plugin runs every five minutes.
    pub(crate) fn step(&mut self) {
        self.is_between_states = false;
        self.policy_seq_no = self.next_seq_no.take().or(self.policy_seq_no);
    }

    /// `transport/action/explain/ExplainResponse.kt`, and `ManagedIndexMetaData.kt` of the plugin's `spi`.
    fn explained(&self, name: &str) -> Value {
        let policy = self.policy.as_ref().filter(|_| !self.search_lags);
        let mut state = json!({
            "index.plugins.index_state_management.policy_id": policy,
            "index.opendistro.index_state_management.policy_id": policy,
            "enabled": policy.map(|_| true),
        });
        if let Some(policy) = policy {
            state["index"] = name.into();
            state["index_uuid"] = uuid(name).into();
            state["policy_id"] = policy.as_str().into();
        }
        if let (Some(_), Some(seq_no)) = (policy, self.policy_seq_no) {
            state["policy_seq_no"] = seq_no.into();
            state["policy_primary_term"] = 1.into();
            let (name, value) = match self.is_between_states {
                true => ("transition_to", json!("warm")),
                false => ("state", json!({"name": "hot", "start_time": 1_577_990_934_044_u64})),
            };
            state[name] = value;
        }
        state
    }
}

/// All indices, by name.
#[derive(Default)]
pub(crate) struct Indices(pub(crate) BTreeMap<String, Index>);

impl Indices {
    pub(crate) fn insert(&mut self, name: &str, index: Index) {
        self.0.insert(name.to_owned(), index);
    }

    pub(crate) fn index(&mut self, name: &str) -> &mut Index {
        self.0.get_mut(name).unwrap()
    }

    /// Names that match a list of names and patterns.
    pub(crate) fn matching(&self, patterns: &str) -> Vec<String> {
        let is_match = |name: &str| {
            patterns.split(',').any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == pattern,
            })
        };
        self.0.keys().filter(|name| is_match(name)).cloned().collect()
    }

    /// `transport/action/explain/TransportExplainAction.kt`: indices are resolved leniently, and the metadata of those found
    /// is read by one `_mget`, which can't be empty.
    pub(crate) fn explain(&mut self, patterns: &str) -> (u16, Value) {
        let names = self.matching(patterns);
        if names.is_empty() {
            let error = json!({"type": "action_request_validation_exception",
                "reason": "Validation Failed: 1: no documents to get;"});
            let mut body = json!({"error": error, "status": 400});
            body["error"]["root_cause"] = json!([error]);
            return (400, body);
        }
        let mut explained: Map<_, _> =
            names.iter().map(|name| (name.clone(), self.index(name).explained(name))).collect();
        let n_managed = explained.values().filter(|state| state["enabled"] == true).count();
        explained.insert("total_managed_indices".into(), n_managed.into());
        self.0.retain(|_, index| !index.is_short_lived);
        for index in self.0.values_mut().filter(|index| index.is_unmanaged_soon) {
            index.policy = None;
        }
        (200, explained.into())
    }

    /// `transport/action/addpolicy/TransportAddPolicyAction.kt`: names that don't exist are skipped.
    pub(crate) fn add(&mut self, names: &str, policy: &str) -> (u16, Value) {
        let (mut n_updated, mut failed) = (0, Vec::new());
        for name in self.matching(names) {
            let index = self.index(&name);
            if index.is_closed {
                failed.push(failure(&name, "This index is closed"));
            } else if index.policy.is_some() {
                let reason =
                    "This index already has a policy, use the update policy API to update index policies";
                failed.push(failure(&name, reason));
            } else {
                index.policy = Some(policy.to_owned());
                n_updated += 1;
            }
        }
        status(n_updated, &failed)
    }

    /// `transport/action/changepolicy/TransportChangePolicyAction.kt`: names that don't exist fail the request. An index takes
    /// the policy at its next step.
    pub(crate) fn change_policy(&mut self, names: &str, policy: &str, seq_no: i64) -> (u16, Value) {
        if let Some(missing) = names.split(',').find(|name| !self.0.contains_key(*name)) {
            let error = json!({"type": "index_not_found_exception", "reason": format!("no such index [{missing}]"),
                "index": missing, "resource.id": missing, "resource.type": "index_or_alias", "index_uuid": "_na_"});
            let mut body = json!({"error": error, "status": 404});
            body["error"]["root_cause"] = json!([error]);
            return (404, body);
        }
        let (mut n_updated, mut failed) = (0, Vec::new());
        for name in self.matching(names) {
            let index = self.index(&name);
            if index.is_between_states {
                failed.push(failure(&name, "Cannot change policy while transitioning to new state"));
            } else if index.policy.is_none() {
                failed.push(failure(&name, "This index is not being managed"));
            } else {
                index.policy = Some(policy.to_owned());
                index.next_seq_no = Some(seq_no);
                n_updated += 1;
            }
        }
        status(n_updated, &failed)
    }
}

fn uuid(name: &str) -> String {
    format!("uuid-of-{name}")
}

/// `FailedIndex` of `util/RestHandlerUtils.kt`.
fn failure(name: &str, reason: &str) -> Value {
    json!({"index_name": name, "index_uuid": uuid(name), "reason": reason})
}

/// `transport/action/ISMStatusResponse.kt`.
fn status(n_updated: usize, failed: &[Value]) -> (u16, Value) {
    (200, json!({"updated_indices": n_updated, "failures": !failed.is_empty(), "failed_indices": failed}))
}
