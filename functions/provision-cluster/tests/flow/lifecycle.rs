//! Lifecycle policies on indices that exist, by index management.

use testing::http_server::HttpServer;

use crate::index_management::Index;
use crate::stand_in::StandIn;
use crate::world::World;

const POLICY: &str = "_plugins/_ism/policies/shop";

/// An OpenSearch to which everything was applied once.
async fn provisioned() -> (StandIn, HttpServer, World) {
    let stand_in = StandIn::opensearch("3.4.0");
    let server = stand_in.start().await;
    let world =
        World::new(server.endpoint()).with(&[("INDEX_PREFIX", "shop"), ("CODEC", "best_compression")]);
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    server.take_requests();
    (stand_in, server, world)
}

/// Adds an index that follows the current policy, or what `index` makes of that policy's version.
fn add_index(stand_in: &StandIn, name: &str, index: impl FnOnce(i64) -> Index) {
    stand_in.change(|state| {
        let seq_no = state.resources[POLICY].1;
        state.indices.insert(name, index(seq_no));
    });
}

/// Runs and returns the line of the report on the daily indices, and the changes that it made to their policies.
async fn run(world: &World, server: &HttpServer) -> (String, Vec<String>) {
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let text = done.report.to_string();
    let line = text.lines().find(|line| line.contains("lifecycle of the indices shop-*"));
    let line = line.unwrap_or_else(|| panic!("{text}")).to_owned();
    let requests = server.take_requests();
    let is_change = |line: &String| line.starts_with("POST _plugins/_ism/");
    (line, requests.iter().map(|request| request.line()).filter(is_change).collect())
}

#[tokio::test]
async fn a_changed_retention_updates_the_policy_by_its_version_and_applies_to_the_indices() {
    let (stand_in, server, mut world) = provisioned().await;
    let seq_no = stand_in.change(|state| state.resources[POLICY].1);
    add_index(&stand_in, "shop-2026.11.21", |seq_no| Index::managed("shop", seq_no));
    add_index(&stand_in, "shop-2026.11.22", |seq_no| Index {
        is_between_states: true,
        ..Index::managed("shop", seq_no)
    });
    add_index(&stand_in, "shop-2026.11.23", |_| Index::unmanaged());
    add_index(&stand_in, "shop-2026.11.24", |_| Index::managed("kept-by-hand", 5));
    add_index(&stand_in, "shop-2026.11.25", |_| Index::not_started("shop"));
    add_index(&stand_in, "shop-eu-2026.11.24", |_| Index::unmanaged());
    world.set("RETENTION_DAYS", "30");
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let requests = server.take_requests();
    let puts: Vec<_> = requests
        .iter()
        .filter(|request| request.head.method == "PUT")
        .map(|request| request.path_and_query())
        .collect();
    assert_eq!(puts, [format!("{POLICY}?if_seq_no={seq_no}&if_primary_term=1")]);
    let posts: Vec<_> = requests
        .iter()
        .map(|request| request.line())
        .filter(|line| line.starts_with("POST _plugins/_ism/"))
        .collect();
    assert_eq!(
        posts,
        [
            "POST _plugins/_ism/add/shop-2026.11.23",
            "POST _plugins/_ism/change_policy/shop-2026.11.21,shop-2026.11.22,shop-2026.11.25"
        ]
    );
    let text = done.report.to_string();
    assert!(
        text.contains(
            "1 had no policy, 3 had the previous version of the policy, 1 keep a policy of another name"
        ),
        "{text}"
    );
    assert!(text.contains("1 of them are between two states"), "{text}");
    let policy = stand_in.change(|state| state.resources[POLICY].0.to_string());
    assert!(policy.contains("\"30d\"") && !policy.contains("\"90d\""), "{policy}");
    // The next run changes the index that was between two states, and no other.
    stand_in.change(|state| state.indices.0.values_mut().for_each(Index::step));
    let (_, changes) = run(&world, &server).await;
    assert_eq!(changes, ["POST _plugins/_ism/change_policy/shop-2026.11.22"]);
}

#[tokio::test]
async fn a_cluster_without_daily_indices_needs_no_policy_applied() {
    let (stand_in, server, world) = provisioned().await;
    let (line, changes) = run(&world, &server).await;
    assert!(line.starts_with("unchanged"), "{line}");
    assert_eq!(changes, Vec::<String>::new());
    // An index of another prefix that begins alike.
    add_index(&stand_in, "shop-eu-2026.11.24", |_| Index::unmanaged());
    assert!(run(&world, &server).await.0.starts_with("unchanged"));
}

#[tokio::test]
async fn indices_that_are_deleted_before_they_are_explained_are_none() {
    let (stand_in, server, world) = provisioned().await;
    stand_in.change(|state| state.data.insert("shop-2026.11.21".into(), serde_json::json!({})));
    let (line, changes) = run(&world, &server).await;
    assert!(line.starts_with("unchanged"), "{line}");
    assert_eq!(changes, Vec::<String>::new());
}

#[tokio::test]
async fn an_index_that_got_its_policy_a_moment_ago_fails_no_run() {
    let (stand_in, server, world) = provisioned().await;
    add_index(&stand_in, "shop-2026.11.25", |_| Index { search_lags: true, ..Index::not_started("shop") });
    let (line, changes) = run(&world, &server).await;
    assert_eq!(changes, ["POST _plugins/_ism/add/shop-2026.11.25"]);
    assert!(line.starts_with("unchanged") && line.contains("1 just got a policy"), "{line}");
    add_index(&stand_in, "shop-2026.11.26", |_| Index::unmanaged());
    let (line, _) = run(&world, &server).await;
    assert!(line.starts_with("applied") && line.contains("1 just got a policy"), "{line}");
}

#[tokio::test]
async fn a_closed_index_without_a_policy_is_noted_and_fails_no_run() {
    let (stand_in, server, world) = provisioned().await;
    add_index(&stand_in, "shop-2026.11.25", |_| Index::closed());
    for _ in 0..2 {
        let (line, _) = run(&world, &server).await;
        assert!(line.starts_with("unchanged"), "{line}");
        assert!(line.contains("1 closed index got no policy: open it and run this again"), "{line}");
    }
}

#[tokio::test]
async fn a_run_before_the_indices_next_step_says_that_it_applies_the_policy_once_more() {
    let (stand_in, server, mut world) = provisioned().await;
    add_index(&stand_in, "shop-2026.11.21", |seq_no| Index::managed("shop", seq_no));
    world.set("RETENTION_DAYS", "30");
    for _ in 0..2 {
        let (line, _) = run(&world, &server).await;
        assert!(
            line.starts_with("applied")
                && line.contains("they take the current one at their next step, within minutes")
                && line.contains("a run before that applies it again"),
            "{line}"
        );
    }
    stand_in.change(|state| state.indices.index("shop-2026.11.21").step());
    let (line, changes) = run(&world, &server).await;
    assert!(line.starts_with("unchanged") && !line.contains("next step"), "{line}");
    assert_eq!(changes, Vec::<String>::new());
}

#[tokio::test]
async fn an_index_that_is_deleted_meanwhile_keeps_no_other_from_its_policy() {
    let (stand_in, server, mut world) = provisioned().await;
    add_index(&stand_in, "shop-2026.11.20", |seq_no| Index {
        is_short_lived: true,
        ..Index::managed("shop", seq_no)
    });
    add_index(&stand_in, "shop-2026.11.21", |seq_no| Index::managed("shop", seq_no));
    world.set("RETENTION_DAYS", "30");
    let (line, _) = run(&world, &server).await;
    assert!(line.starts_with("applied"), "{line}");
    let next = stand_in.change(|state| state.indices.index("shop-2026.11.21").next_seq_no);
    assert!(next.is_some(), "the policy of the other index was not changed");
}

#[tokio::test]
async fn a_policy_that_was_taken_off_a_moment_ago_is_noted() {
    let (stand_in, server, mut world) = provisioned().await;
    add_index(&stand_in, "shop-2026.11.21", |seq_no| Index {
        is_unmanaged_soon: true,
        ..Index::managed("shop", seq_no)
    });
    world.set("RETENTION_DAYS", "30");
    let (line, _) = run(&world, &server).await;
    assert!(line.starts_with("unchanged") && line.contains("1 just lost its policy"), "{line}");
}
