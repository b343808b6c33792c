//! Runs that delete.

use serde_json::json;
use testing::http_server::{HttpServer, ReceivedRequest};

use crate::stand_in::StandIn;
use crate::world::World;

async fn provisioned(stand_in: &StandIn) -> (HttpServer, World) {
    let server = stand_in.start().await;
    let world = World::new(server.endpoint()).with(&[
        ("FUNCTION_AUTH", "basic"),
        ("WRITER_SECRET_ID", "writer"),
        ("REPLAYER_SECRET_ID", "replayer"),
        ("DASHBOARDS_ENDPOINT", server.endpoint()),
        ("CODEC", "best_compression"),
    ]);
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    (server, world)
}

fn paths(stand_in: &StandIn) -> Vec<String> {
    // The limit of clauses stays: it is the cluster's, and other indices may need it.
    let is_ours = |path: &&String| *path != "_cluster/settings";
    stand_in.change(|state| state.resources.keys().filter(is_ours).cloned().collect())
}

#[tokio::test]
async fn data_stays_with_its_templates_and_lifecycle() {
    for stand_in in [StandIn::opensearch("3.4.0"), StandIn::elasticsearch("8.19.21")] {
        let (_server, world) = provisioned(&stand_in).await;
        let done = world.delete().await;
        assert_eq!(done.report.failures, Vec::<String>::new());
        let left = paths(&stand_in);
        assert_eq!(left.len(), 7, "{left:?}");
        for path in &left {
            let stays =
                ["_component_template/", "_index_template/", "_plugins/_ism/policies/", "_ilm/policy/"];
            assert!(stays.iter().any(|api| path.starts_with(api)), "{path}");
        }
        let again = world.delete().await;
        assert_eq!(again.report.to_string().lines().last(), Some("nothing to do"));
    }
}

#[tokio::test]
async fn data_is_deleted_on_request_and_other_indices_stay() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (server, mut world) = provisioned(&stand_in).await;
    let settings = json!({"settings": {"index": {"uuid": "u"}}});
    stand_in.change(|state| {
        for name in ["microservices-2026.11.24", "microservices-of-others", "microservices-2026.11.24-copy"] {
            state.data.insert(name.into(), settings.clone());
        }
    });
    server.take_requests();
    world.set("DELETE_DATA", "true");
    let done = world.delete().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let deletes: Vec<_> =
        server.take_requests().into_iter().filter(|request| request.head.method == "DELETE").collect();
    let lines: Vec<_> = deletes.iter().map(ReceivedRequest::line).collect();
    let position = |part: &str| {
        lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {lines:?}"))
    };
    assert!(position("DELETE microservices-2026.11.24") < position("_index_template/microservices"));
    assert!(
        position("_index_template/microservices") < position("_component_template/microservices-settings")
    );
    assert!(position("_component_template/") < position("_ism/policies/"));
    assert!(lines.iter().any(|line| line.starts_with("DELETE api/saved_objects/dashboard/")), "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.contains("of-others") || line.contains("-copy") || line.contains('*')),
        "{lines:?}"
    );
    assert_eq!(paths(&stand_in), Vec::<String>::new());
    assert_eq!(stand_in.change(|state| state.data.len()), 2, "an index of others was deleted");
}
