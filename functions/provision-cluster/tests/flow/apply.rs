//! Runs that apply.

use provision_cluster::provision::Mode;
use provision_cluster::report::Outcome;
use serde_json::json;

use crate::server::{Reply, Server};
use crate::stand_in::{StandIn, no_handler};
use crate::world::World;

const POLICY: &str = "_plugins/_ism/policies/shop";

async fn opensearch() -> (StandIn, Server, World) {
    let stand_in = StandIn::opensearch("3.4.0");
    let server = stand_in.start().await;
    let world = World::new(&server.endpoint).with(&[
        ("INDEX_PREFIX", "shop"),
        ("DASHBOARDS_ENDPOINT", &server.endpoint),
        ("CODEC", "best_compression"),
    ]);
    (stand_in, server, world)
}

fn changes(server: &Server) -> Vec<String> {
    let asked = server.take();
    let is_change = |line: &String| !line.starts_with("GET") && !line.ends_with("/_search");
    asked.iter().map(crate::server::Asked::line).filter(is_change).collect()
}

#[tokio::test]
async fn everything_is_applied_in_its_order_and_a_second_run_changes_nothing() {
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
    // Saved objects can't be compared: they are imported again, over the same ids.
    assert_eq!(changes(&server), ["POST api/saved_objects/_import"], "{}", done.report);
    assert_eq!(done.report.count(|outcome| *outcome == Outcome::Applied), 1, "{}", done.report);
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_done_and_does_nothing() {
    let (_stand_in, server, mut world) = opensearch().await;
    world.mode = Mode::DryRun;
    let done = world.apply().await;
    assert_eq!(changes(&server), Vec::<String>::new());
    assert_eq!(done.report.count(|outcome| *outcome == Outcome::WouldApply), 15, "{}", done.report);
}

#[tokio::test]
async fn a_changed_retention_updates_the_policy_by_its_version_and_reaches_the_indices() {
    let (stand_in, server, mut world) = opensearch().await;
    world.apply().await;
    server.take();
    let seq_no = stand_in.change(|state| {
        let seq_no = state.held[POLICY].1;
        let managed = json!({"policy_id": "shop", "policy_seq_no": seq_no, "enabled": true});
        state.indices.insert("shop-2026.11.21".into(), managed.clone());
        let mut between = managed;
        between["transitioning"] = json!(true);
        state.indices.insert("shop-2026.11.22".into(), between);
        state.indices.insert("shop-2026.11.23".into(), json!({"policy_id": null, "enabled": null}));
        // One that has not begun with its policy yet.
        state.indices.insert("shop-2026.11.25".into(), json!({"policy_id": "shop", "enabled": true}));
        state
            .indices
            .insert("shop-2026.11.24".into(), json!({"policy_id": "kept-by-hand", "policy_seq_no": 5}));
        state.indices.insert("shop-eu-2026.11.24".into(), json!({"policy_id": null}));
        seq_no
    });
    world.set("RETENTION_DAYS", "30");
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let asked = server.take();
    let puts: Vec<_> = asked.iter().filter(|asked| asked.method == "PUT").map(|asked| &asked.path).collect();
    assert_eq!(puts, [&format!("{POLICY}?if_seq_no={seq_no}&if_primary_term=1")]);
    let posts: Vec<_> = asked.iter().filter(|asked| asked.path.starts_with("_plugins/_ism/")).collect();
    let posts: Vec<_> =
        posts.iter().filter(|asked| asked.method == "POST").map(|asked| asked.line()).collect();
    assert_eq!(
        posts,
        [
            "POST _plugins/_ism/add/shop-2026.11.23",
            "POST _plugins/_ism/change_policy/shop-2026.11.21,shop-2026.11.22,shop-2026.11.25"
        ]
    );
    let text = done.report.to_string();
    assert!(
        text.contains("1 had no policy, 3 had the policy's version before, 1 under policies of other names"),
        "{text}"
    );
    assert!(text.contains("1 of them between two states"), "{text}");
    let policy = stand_in.change(|state| state.held[POLICY].0.to_string());
    assert!(policy.contains("\"30d\"") && !policy.contains("\"90d\""), "{policy}");
    // The index that was between two states is asked again by the next run, and only that.
    stand_in.change(|state| state.indices["shop-2026.11.22"]["transitioning"] = json!(false));
    world.apply().await;
    let changes: Vec<_> = changes(&server).into_iter().filter(|line| line.contains("_ism")).collect();
    assert_eq!(changes, ["POST _plugins/_ism/change_policy/shop-2026.11.22"]);
}

#[tokio::test]
async fn what_people_added_to_a_monitor_is_kept() {
    let (stand_in, server, mut world) = opensearch().await;
    world.apply().await;
    stand_in.change(|state| {
        for (path, (monitor, _)) in &mut state.held {
            if path.starts_with("_plugins/_alerting/monitors/") && monitor["name"] == "shop: silent service" {
                monitor["enabled"] = json!(false);
                monitor["triggers"][0]["bucket_level_trigger"]["actions"] =
                    json!([{"name": "page the team"}]);
            }
        }
    });
    server.take();
    world.set("SILENCE_MINUTES", "45");
    let done = world.apply().await;
    let puts: Vec<_> = server.take().into_iter().filter(|asked| asked.method == "PUT").collect();
    let [put] = puts.as_slice() else { panic!("{}", done.report) };
    assert!(put.path.contains("?if_seq_no="), "{}", put.path);
    let body = put.json();
    assert_eq!(body["enabled"], false);
    assert!(body.to_string().contains("page the team") && body.to_string().contains("now-45m"), "{body}");
}

#[tokio::test]
async fn a_cluster_without_plugins_gets_the_rest_and_is_told_what_it_lacks() {
    for (status, body) in [
        (400, None),
        (405, Some(json!({"error": "Incorrect HTTP method for uri [/x] and method [GET], allowed: [POST]"}))),
        (404, Some(json!({"error": "no handler found for uri [/x] and method [GET]"}))),
    ] {
        let stand_in = StandIn::opensearch("3.4.0");
        let inner = stand_in.clone();
        for plugin in ["_plugins/_ism", "_plugins/_alerting", "_plugins/_security"] {
            let asked = crate::server::Asked {
                method: "GET".into(),
                path: plugin.into(),
                headers: http::HeaderMap::new(),
                text: String::new(),
            };
            inner.refuse(plugin, status, body.clone().unwrap_or_else(|| no_handler(&asked)));
        }
        let server = stand_in.start().await;
        let world = World::new(&server.endpoint).with(&[("CODEC", "best_compression")]);
        let done = world.apply().await;
        let text = done.report.to_string();
        assert_eq!(done.report.failures, Vec::<String>::new(), "{status}");
        assert_eq!(done.report.count(|outcome| *outcome == Outcome::Applied), 5, "{text}");
        for lacking in [
            "lifecycle policy microservices: this OpenSearch has no plugin opensearch-index-management",
            "role microservices-writer: this OpenSearch has no security plugin",
            "monitor microservices: silent service: this OpenSearch has no plugin opensearch-alerting",
            "dashboards: no DashboardsEndpoint is given",
        ] {
            assert!(text.contains(lacking), "{lacking}\n{text}");
        }
    }
}

#[tokio::test]
async fn the_best_codec_is_taken_where_the_cluster_has_it() {
    for has_it in [true, false] {
        let stand_in = StandIn::opensearch("3.4.0");
        let script = stand_in.clone();
        let server = Server::start(move |asked| {
            if !has_it && asked.text.contains("zstd_no_dict") {
                let reason =
                    "unknown value for [index.codec] must be one of [default, lz4, best_compression, zlib]";
                return Reply::Answer(400, json!({"error": {"reason": reason}, "status": 400}));
            }
            script.reply(asked)
        })
        .await;
        let done = World::new(&server.endpoint).apply().await;
        assert_eq!(done.report.failures, Vec::<String>::new());
        let codecs = stand_in.change(|state| {
            ["_component_template/microservices-settings", "_index_template/dead-letters-microservices"]
                .map(|path| state.held[path].0["template"]["settings"]["codec"].clone())
        });
        let expected = if has_it { "zstd_no_dict" } else { "best_compression" };
        assert_eq!(codecs, [expected, expected]);
        assert!(done.report.to_string().contains(&format!("(codec {expected})")));
        server.take();
        for mode in [Mode::Apply, Mode::DryRun] {
            let mut world = World::new(&server.endpoint);
            world.mode = mode;
            let again = world.apply().await.report.to_string();
            let line = format!("unchanged    component template microservices-settings (codec {expected})");
            assert!(again.contains(&line), "{mode:?}: {again}");
        }
    }
}

#[tokio::test]
async fn the_users_own_component_is_never_overwritten() {
    let (stand_in, _server, world) = opensearch().await;
    let own = json!({"template": {"settings": {"index": {"refresh_interval": "60s"}}}});
    stand_in.change(|state| state.held.insert("_component_template/shop-custom".into(), (own.clone(), 1)));
    world.apply().await;
    assert_eq!(stand_in.change(|state| state.held["_component_template/shop-custom"].0.clone()), own);
}

#[tokio::test]
async fn every_problem_is_told_at_once() {
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
        "index template shop: PUT /_index_template/shop was answered 400: ",
        "another template has the same patterns: delete that one",
        "lifecycle policy shop: the administrator's credential may not do GET /_plugins/_ism/policies/shop (403: no permissions",
        "dashboards: DashboardsEndpoint: POST /api/saved_objects/_import?overwrite=true was answered 200: 3 of ",
        "missing_references",
    ] {
        assert!(failures.contains(expected), "{expected}\n{failures}");
    }
    let changes = changes(&server);
    assert!(
        changes.iter().any(|line| line.ends_with("roles/shop-writer")),
        "the others were tried: {changes:?}"
    );
    assert!(changes.iter().any(|line| line.ends_with("_alerting/monitors")), "{changes:?}");
}

#[tokio::test]
async fn a_refused_administrator_is_told_at_once() {
    let (_stand_in, server, mut world) = opensearch().await;
    world.set("SEARCH_PASSWORD", "wrong-hunter2");
    let done = world.apply().await;
    let [failure] = done.report.failures.as_slice() else { panic!("{}", done.report) };
    assert!(failure.contains("refuses the administrator's credential"), "{failure}");
    assert!(!failure.contains("hunter2"), "{failure}");
    assert_eq!(server.take().len(), 1, "nothing more is tried");
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_cluster_is_given_up_within_a_minute() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let begin = tokio::time::Instant::now();
    let mut world = World::new(&endpoint);
    world.patience = std::time::Duration::from_secs(600);
    let done = world.apply().await;
    let [failure] = done.report.failures.as_slice() else { panic!("{}", done.report) };
    assert!(
        failure.contains("did not answer GET /") && failure.contains("check SEARCH_ENDPOINT"),
        "{failure}"
    );
    assert!(begin.elapsed().as_secs() <= 45, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_busy_cluster_is_asked_again() {
    let stand_in = StandIn::opensearch("3.4.0");
    let (script, n) = (stand_in.clone(), std::sync::atomic::AtomicUsize::new(0));
    let server = Server::start(move |asked| {
        let is_busy = n.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3;
        if is_busy {
            Reply::Answer(503, json!("OpenSearch Security not initialized."))
        } else {
            script.reply(asked)
        }
    })
    .await;
    let done = World::new(&server.endpoint).apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
}

#[tokio::test]
async fn a_server_that_is_neither_product_is_told_and_may_be_told_what_it_is() {
    let stand_in = StandIn::opensearch("3.4.0");
    let script = stand_in.clone();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "" => Reply::Answer(400, no_handler(asked)),
        path if path.starts_with("_nodes") => {
            Reply::Answer(200, json!({"nodes": {"a": {"version": "8.19.21"}, "b": {"version": "8.13.4"}}}))
        }
        _ => script.reply(asked),
    })
    .await;
    let world = World::new(&server.endpoint);
    let done = world.apply().await;
    assert!(done.report.failures[0].contains("or set SEARCH_ENGINE"), "{}", done.report);
    assert!(done.report.failures[0].contains("no handler found"), "{}", done.report);
    let done = world.with(&[("SEARCH_ENGINE", "elasticsearch")]).apply().await;
    assert_eq!(done.product.unwrap().to_string(), "Elasticsearch 8.13.4");
    assert_eq!(done.report.failures, Vec::<String>::new());
    let server = StandIn::elasticsearch("8.19.21").start().await;
    let done = World::new(&server.endpoint).with(&[("SEARCH_ENGINE", "opensearch")]).apply().await;
    assert!(done.report.failures[0].contains("SEARCH_ENGINE says OpenSearch"), "{}", done.report);
}

#[tokio::test]
async fn elasticsearch_gets_its_lifecycle_watches_and_kibanas_objects() {
    let stand_in = StandIn::elasticsearch("8.19.21");
    let server = stand_in.start().await;
    let world = World::new(&server.endpoint).with(&[("DASHBOARDS_ENDPOINT", &server.endpoint)]);
    let done = world.apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let asked = server.take();
    let import = asked.iter().find(|asked| asked.path.starts_with("api/")).unwrap();
    assert_eq!((import.header("kbn-xsrf"), import.header("securitytenant")), (Some("true"), None));
    assert!(import.header("content-type").unwrap().starts_with("multipart/form-data; boundary="));
    assert!(import.header("authorization").unwrap().starts_with("Basic "));
    stand_in.change(|state| {
        for path in ["_ilm/policy/microservices", "_ilm/policy/dead-letters-microservices"] {
            assert!(state.held.contains_key(path), "{path}");
        }
        let settings = &state.held["_component_template/microservices-settings"].0["template"]["settings"];
        assert_eq!(settings["lifecycle.name"], "microservices");
        assert!(state.held.contains_key("_watcher/watch/microservices-silent-service"));
    });
}

#[tokio::test]
async fn a_licence_without_watcher_is_no_failure() {
    let stand_in = StandIn::elasticsearch("8.19.21");
    let denied = json!({"error": {"type": "security_exception", "reason": "current license is non-compliant for [watcher]"}});
    stand_in.refuse("_watcher", 403, denied);
    let server = stand_in.start().await;
    let done = World::new(&server.endpoint).apply().await;
    assert_eq!(done.report.failures, Vec::<String>::new());
    let text = done.report.to_string();
    assert!(text.contains("has no Watcher, or its licence has it not"), "{text}");
}
