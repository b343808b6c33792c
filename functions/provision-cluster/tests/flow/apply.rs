//! Runs that apply.

use provision_cluster::report::Outcome;
use provision_cluster::run::Mode;
use serde_json::json;
use testing::http_server::{HttpServer, ReceivedRequest};

use crate::server::{ScriptedResponse, start};
use crate::stand_in::{StandIn, no_handler};
use crate::world::World;

async fn opensearch() -> (StandIn, HttpServer, World) {
    let stand_in = StandIn::opensearch("3.4.0");
    let server = stand_in.start().await;
    let world = World::new(server.endpoint()).with(&[
        ("INDEX_PREFIX", "shop"),
        ("DASHBOARDS_ENDPOINT", server.endpoint()),
        ("CODEC", "best_compression"),
    ]);
    (stand_in, server, world)
}

fn changes(server: &HttpServer) -> Vec<String> {
    let requests = server.take_requests();
    let is_change = |line: &String| !line.starts_with("GET") && !line.ends_with("/_search");
    requests.iter().map(ReceivedRequest::line).filter(is_change).collect()
}

#[tokio::test]
async fn everything_is_applied_in_order_and_a_second_run_changes_nothing() {
    let (_stand_in, server, world) = opensearch().await;
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    assert_eq!(
        changes(&server),
        [
            "PUT _component_template/shop-settings",
            "PUT _component_template/shop-mappings",
            "PUT _component_template/shop-custom",
            "PUT _index_template/shop",
            "PUT _index_template/dead-letters-shop",
            "PUT _cluster/settings",
            "PUT _plugins/_ism/policies/shop",
            "PUT _plugins/_ism/policies/dead-letters-shop",
            "PUT _plugins/_security/api/roles/shop-writer",
            "PUT _plugins/_security/api/roles/shop-replayer",
            "PUT _plugins/_security/api/roles/shop-reader",
            "POST _plugins/_alerting/monitors",
            "POST _plugins/_alerting/monitors",
            "POST _plugins/_alerting/monitors",
            "POST _plugins/_alerting/monitors",
            "POST api/saved_objects/_import",
        ]
    );
    let done = world.apply().await;
    // Saved objects can't be compared. They are imported again with the same ids.
    assert_eq!(changes(&server), ["POST api/saved_objects/_import"], "{}", done.report);
    assert_eq!(done.report.count(|outcome| *outcome == Outcome::Applied), 1, "{}", done.report);
}

#[tokio::test]
async fn a_dry_run_reports_what_would_change_and_changes_nothing() {
    let (_stand_in, server, mut world) = opensearch().await;
    world.mode = Mode::DryRun;
    let done = world.apply().await;
    assert_eq!(changes(&server), Vec::<String>::new());
    assert_eq!(done.report.count(|outcome| *outcome == Outcome::WouldApply), 16, "{}", done.report);
}

#[tokio::test]
async fn an_update_keeps_what_people_set_on_a_monitor() {
    let (stand_in, server, mut world) = opensearch().await;
    world.apply().await;
    stand_in.change(|state| {
        for (path, (monitor, _)) in &mut state.resources {
            if path.starts_with("_plugins/_alerting/monitors/") && monitor["name"] == "shop: silent service" {
                monitor["enabled"] = json!(false);
                monitor["triggers"][0]["bucket_level_trigger"]["actions"] =
                    json!([{"name": "page the team"}]);
            }
        }
    });
    server.take_requests();
    world.set("SILENCE_MINUTES", "45");
    let done = world.apply().await;
    let puts: Vec<_> =
        server.take_requests().into_iter().filter(|request| request.head.method == "PUT").collect();
    let [put] = puts.as_slice() else { panic!("{}", done.report) };
    assert!(put.path_and_query().contains("?if_seq_no="), "{}", put.path_and_query());
    let body = put.json();
    assert_eq!(body["enabled"], false);
    assert!(body.to_string().contains("page the team") && body.to_string().contains("now-45m"), "{body}");
}

#[tokio::test]
async fn a_cluster_without_plugins_gets_the_rest_and_the_report_names_what_it_lacks() {
    for (status, body) in [
        (400, None),
        (405, Some(json!({"error": "Incorrect HTTP method for uri [/x] and method [GET], allowed: [POST]"}))),
        (404, Some(json!({"error": "no handler found for uri [/x] and method [GET]"}))),
    ] {
        let stand_in = StandIn::opensearch("3.4.0");
        let inner = stand_in.clone();
        for plugin in ["_plugins/_ism", "_plugins/_alerting", "_plugins/_security"] {
            inner.refuse(plugin, status, body.clone().unwrap_or_else(|| no_handler("GET", plugin)));
        }
        let server = stand_in.start().await;
        let world = World::new(server.endpoint()).with(&[("CODEC", "best_compression")]);
        let done = world.apply().await;
        let text = done.report.to_string();
        assert_eq!(done.report.failures, Vec::<String>::new(), "{status}");
        assert_eq!(done.report.count(|outcome| *outcome == Outcome::Applied), 6, "{text}");
        for expected in [
            "lifecycle policy microservices: this OpenSearch has no plugin opensearch-index-management",
            "role microservices-writer: this OpenSearch has no security plugin",
            "monitor microservices: silent service: this OpenSearch has no plugin opensearch-alerting",
            "dashboards: no DashboardsEndpoint is given",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }
}

#[tokio::test]
async fn the_best_codec_is_used_where_the_cluster_has_it() {
    for has_it in [true, false] {
        let stand_in = StandIn::opensearch("3.4.0");
        let script = stand_in.clone();
        let server = start(move |request| {
            if !has_it && request.text().contains("zstd_no_dict") {
                let reason =
                    "unknown value for [index.codec] must be one of [default, lz4, best_compression, zlib]";
                return ScriptedResponse::Json(400, json!({"error": {"reason": reason}, "status": 400}));
            }
            script.respond(request)
        })
        .await;
        let done = World::new(server.endpoint()).apply().await;
        assert_eq!(done.report.failures, Vec::<String>::new());
        let codecs = stand_in.change(|state| {
            ["_component_template/microservices-settings", "_index_template/dead-letters-microservices"]
                .map(|path| state.resources[path].0["template"]["settings"]["codec"].clone())
        });
        let expected = if has_it { "zstd_no_dict" } else { "best_compression" };
        assert_eq!(codecs, [expected, expected]);
        assert!(done.report.to_string().contains(&format!("(codec {expected})")));
        server.take_requests();
        for mode in [Mode::Apply, Mode::DryRun] {
            let mut world = World::new(server.endpoint());
            world.mode = mode;
            let again = world.apply().await.report.to_string();
            let line = format!("unchanged    component template microservices-settings (codec {expected})");
            assert!(again.contains(&line), "{mode:?}: {again}");
        }
    }
}

#[tokio::test]
async fn text_takes_the_place_of_match_only_text_where_the_cluster_lacks_it() {
    let stand_in = StandIn::opensearch("3.4.0");
    let script = stand_in.clone();
    let server = start(move |request| {
        if request.text().contains("match_only_text") {
            // Without the module mapper-extras, as some distributions are.
            let reason = "Failed to parse mapping: The mapper type [match_only_text] declared on field [text] does not exist.";
            return ScriptedResponse::Json(400, json!({"error": {"reason": reason}, "status": 400}));
        }
        script.respond(request)
    })
    .await;
    let done = World::new(server.endpoint()).apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let mappings = stand_in.change(|state| {
        state.resources["_component_template/microservices-mappings"].0["template"]["mappings"].clone()
    });
    assert_eq!(mappings["properties"]["event_text"], json!({"type": "text", "norms": false}));
    assert!(!mappings.to_string().contains("match_only_text"), "{mappings}");
    for mode in [Mode::Apply, Mode::DryRun] {
        let mut world = World::new(server.endpoint());
        world.mode = mode;
        let again = world.apply().await.report.to_string();
        let line = "unchanged    component template microservices-mappings";
        assert!(again.contains(line), "{mode:?}: {again}");
    }
}

#[tokio::test]
async fn the_users_own_component_is_never_overwritten() {
    let (stand_in, _server, world) = opensearch().await;
    let own = json!({"template": {"settings": {"index": {"refresh_interval": "60s"}}}});
    stand_in
        .change(|state| state.resources.insert("_component_template/shop-custom".into(), (own.clone(), 1)));
    world.apply().await;
    assert_eq!(stand_in.change(|state| state.resources["_component_template/shop-custom"].0.clone()), own);
}

#[tokio::test]
async fn every_problem_is_reported_at_once() {
    let (stand_in, server, world) = opensearch().await;
    let reason = "index template [shop] has index patterns [shop-*] matching patterns from existing templates [old] with \
                  patterns (old => [shop-*]) that have the same priority [200]";
    stand_in.refuse("PUT _index_template/shop", 400, json!({"error": {"reason": reason}, "status": 400}));
    let denied = json!({"error": {"reason": "no permissions for [cluster:admin/opendistro/ism/policy/get]"}});
    stand_in.refuse("_plugins/_ism", 403, denied);
    stand_in.change(|state| {
        state.import = Some(json!({"success": false, "successCount": 3, "errors": [
            {"id": "x", "type": "visualization", "error": {"type": "missing_references"}}]}));
    });
    let done = world.apply().await;
    let failures = done.report.failures.join("\n");
    for expected in [
        "index template shop: PUT /_index_template/shop returned 400: ",
        "another template has the same patterns: delete that one",
        "lifecycle policy shop: the administrator's credential lacks the rights for GET /_plugins/_ism/policies/shop (403: no permissions",
        "dashboards: DashboardsEndpoint: POST /api/saved_objects/_import?overwrite=true returned 200: 3 of ",
        "missing_references",
    ] {
        assert!(failures.contains(expected), "{expected}\n{failures}");
    }
    let changes = changes(&server);
    assert!(
        changes.iter().any(|line| line.ends_with("roles/shop-writer")),
        "the other steps did not run: {changes:?}"
    );
    assert!(changes.iter().any(|line| line.ends_with("_alerting/monitors")), "{changes:?}");
}

#[tokio::test]
async fn a_rejected_administrator_ends_the_run_at_once() {
    let (_stand_in, server, mut world) = opensearch().await;
    world.set("SEARCH_PASSWORD", "wrong-hunter2");
    let done = world.apply().await;
    let [failure] = done.report.failures.as_slice() else { panic!("{}", done.report) };
    assert!(failure.contains("rejects the administrator's credential"), "{failure}");
    assert!(!failure.contains("hunter2"), "{failure}");
    assert_eq!(server.take_requests().len(), 1, "more requests followed");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_cluster_is_given_up_within_a_minute() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let begin = tokio::time::Instant::now();
    let mut world = World::new(&endpoint);
    world.max_run = std::time::Duration::from_secs(600);
    let done = world.apply().await;
    let [failure] = done.report.failures.as_slice() else { panic!("{}", done.report) };
    assert!(
        failure.contains("did not respond to GET /") && failure.contains("check SEARCH_ENDPOINT"),
        "{failure}"
    );
    assert!(begin.elapsed().as_secs() <= 45, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_request_to_a_busy_cluster_is_sent_again() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (script, n) = (stand_in.clone(), std::sync::atomic::AtomicUsize::new(0));
    let server = start(move |request| {
        let is_busy = n.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3;
        if is_busy {
            ScriptedResponse::Json(503, json!("OpenSearch Security not initialized."))
        } else {
            script.respond(request)
        }
    })
    .await;
    let done = World::new(server.endpoint()).apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_does_not_identify_itself_is_reported_and_can_be_configured() {
    let stand_in = StandIn::opensearch("3.4.0");
    let script = stand_in.clone();
    let server = start(move |request| match request.path_and_query() {
        "" => ScriptedResponse::Json(400, no_handler(request.head.method.as_str(), request.path_and_query())),
        path if path.starts_with("_nodes") => ScriptedResponse::Json(
            200,
            json!({"nodes": {"a": {"version": "8.19.21"}, "b": {"version": "8.13.4"}}}),
        ),
        _ => script.respond(request),
    })
    .await;
    let world = World::new(server.endpoint());
    let done = world.apply().await;
    assert!(done.report.failures[0].contains("or set SEARCH_ENGINE"), "{}", done.report);
    assert!(done.report.failures[0].contains("no handler found"), "{}", done.report);
    let done = world.with(&[("SEARCH_ENGINE", "elasticsearch")]).apply().await;
    assert_eq!(done.product.unwrap().to_string(), "Elasticsearch 8.13.4");
    assert_eq!(done.report.failures, Vec::<String>::new());
    let server = StandIn::elasticsearch("8.19.21").start().await;
    let done = World::new(server.endpoint()).with(&[("SEARCH_ENGINE", "opensearch")]).apply().await;
    assert!(done.report.failures[0].contains("SEARCH_ENGINE says OpenSearch"), "{}", done.report);
}

#[tokio::test]
async fn elasticsearch_gets_its_lifecycle_watches_and_kibanas_objects() {
    let stand_in = StandIn::elasticsearch("8.19.21");
    let server = stand_in.start().await;
    let world = World::new(server.endpoint()).with(&[("DASHBOARDS_ENDPOINT", server.endpoint())]);
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let requests = server.take_requests();
    let import = requests.iter().find(|request| request.path_and_query().starts_with("api/")).unwrap();
    assert_eq!((import.header("kbn-xsrf"), import.header("securitytenant")), (Some("true"), None));
    assert!(import.header("content-type").unwrap().starts_with("multipart/form-data; boundary="));
    assert!(import.header("authorization").unwrap().starts_with("Basic "));
    stand_in.change(|state| {
        for path in ["_ilm/policy/microservices", "_ilm/policy/dead-letters-microservices"] {
            assert!(state.resources.contains_key(path), "{path}");
        }
        let settings =
            &state.resources["_component_template/microservices-settings"].0["template"]["settings"];
        assert_eq!(settings["lifecycle.name"], "microservices");
        assert!(state.resources.contains_key("_watcher/watch/microservices-silent-service"));
    });
}

#[tokio::test]
async fn a_licence_without_watcher_is_not_a_failure() {
    let stand_in = StandIn::elasticsearch("8.19.21");
    let denied = json!({"error": {"type": "security_exception", "reason": "current license is non-compliant for [watcher]"}});
    stand_in.refuse("_watcher", 403, denied);
    let server = stand_in.start().await;
    let done = World::new(server.endpoint()).apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let text = done.report.to_string();
    assert!(text.contains("has no Watcher, or its licence does not include it"), "{text}");
}

#[tokio::test]
async fn a_limit_of_clauses_that_only_the_domain_can_set_is_reported() {
    let (stand_in, _server, world) = opensearch().await;
    let message = "Your request: '/_cluster/settings' payload is not allowed.";
    stand_in.refuse("PUT _cluster/settings", 401, json!({"Message": message}));
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let [reason] = done.report.not_applied().try_into().unwrap();
    assert!(reason.contains("max_clause_count to 8192") && reason.contains("advanced option"), "{reason}");

    let (stand_in, _server, world) = opensearch().await;
    stand_in.refuse(
        "PUT _cluster/settings",
        403,
        json!({"message": "no permissions for [cluster:admin/settings/update]"}),
    );
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    assert_eq!(done.report.not_applied().len(), 1, "{}", done.report);
}
