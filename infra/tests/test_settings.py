"""What parameters do to mappings, functions, the cluster's settings and the alarms."""

import tomllib

import pytest
import stack
from combinations import KEY, MODES, SECRET, SNS, SOURCES, TARGETS

BASE = SOURCES["self-managed, SCRAM-512"] | TARGETS["no login"]
PROVISIONED = MODES["provisioned, queue"]
ONLY_PROVISIONED = (
    "ProvisionedPollerConfig",
    "MaximumRetryAttempts",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "MetricsConfig",
    "LoggingConfig",
)


def mapping(**parameters: str) -> dict:
    return stack.deploy(**(BASE | parameters)).mappings()["order.events"]


def alarm(name: str, **parameters: str) -> dict | None:
    return stack.deploy(**(BASE | parameters)).of_type("AWS::CloudWatch::Alarm").get(name)


def test_a_mapping_on_demand_has_nothing_that_needs_provisioned_mode():
    assert not set(ONLY_PROVISIONED) & set(mapping())


def test_provisioned_mode_sets_retries_age_halves_metrics_and_logs():
    made = mapping(**PROVISIONED)
    assert {name: made[name] for name in ONLY_PROVISIONED} == {
        "ProvisionedPollerConfig": {"MinimumPollers": "2", "MaximumPollers": "2", "PollerGroupName": "events"},
        "MaximumRetryAttempts": "50",
        "MaximumRecordAgeInSeconds": "86400",
        "BisectBatchOnFunctionError": "true",
        "MetricsConfig": {"Metrics": ["EventCount", "ErrorCount", "KafkaMetrics"]},
        "LoggingConfig": {"SystemLogLevel": "WARN"},
    }
    assert made["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


REGISTRY = MODES["provisioned, schemas in a registry with login and CA"]
GLUE = MODES["provisioned, schemas in Glue"]
CONFIG_OF = {
    "MSK, IAM": "AmazonManagedKafkaEventSourceConfig",
    "self-managed, SCRAM-512": "SelfManagedKafkaEventSourceConfig",
}


def registry_configs(source: str, **parameters: str) -> list[dict | None]:
    mappings = stack.deploy(**SOURCES[source], **TARGETS["no login"], **parameters).mappings()
    assert len(mappings) == 3
    return [each[CONFIG_OF[source]].get("SchemaRegistryConfig") for each in mappings.values()]


@pytest.mark.parametrize("source", CONFIG_OF)
def test_every_mapping_gets_the_registry_with_its_login_and_its_ca(source):
    expected = {
        "SchemaRegistryURI": "https://registry.example.com:8081",
        "EventRecordFormat": "SOURCE",
        "AccessConfigs": [
            {"Type": "BASIC_AUTH", "URI": SECRET + "registry"},
            {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": SECRET + "registry-ca"},
        ],
        "SchemaValidationConfigs": [{"Attribute": "KEY"}, {"Attribute": "VALUE"}],
    }
    assert registry_configs(source, **REGISTRY) == [expected] * 3


@pytest.mark.parametrize("source", CONFIG_OF)
def test_a_registry_has_no_more_access_than_is_given(source):
    without_ca = REGISTRY | {
        "SchemaRegistryCaSecretArn": "",
        "SchemaRegistryAuthentication": "CLIENT_CERTIFICATE_TLS_AUTH",
    }
    login = {"Type": "CLIENT_CERTIFICATE_TLS_AUTH", "URI": SECRET + "registry"}
    assert [each["AccessConfigs"] for each in registry_configs(source, **without_ca)] == [[login]] * 3
    ca_alone = REGISTRY | {"SchemaRegistrySecretArn": ""}
    ca = {"Type": "SERVER_ROOT_CA_CERTIFICATE", "URI": SECRET + "registry-ca"}
    assert [each["AccessConfigs"] for each in registry_configs(source, **ca_alone)] == [[ca]] * 3
    plain = REGISTRY | {"SchemaRegistrySecretArn": "", "SchemaRegistryCaSecretArn": ""}
    assert all("AccessConfigs" not in each for each in registry_configs(source, **plain))


@pytest.mark.parametrize("source", CONFIG_OF)
def test_a_glue_registry_decodes_values_to_json_without_access_configurations(source):
    config = {
        "SchemaRegistryURI": GLUE["SchemaRegistryUri"],
        "EventRecordFormat": "JSON",
        "SchemaValidationConfigs": [{"Attribute": "VALUE"}],
    }
    assert registry_configs(source, **GLUE) == [config] * 3
    keys_alone = registry_configs(source, **GLUE, SchemaValidation="KEY")
    assert [each["SchemaValidationConfigs"] for each in keys_alone] == [[{"Attribute": "KEY"}]] * 3


@pytest.mark.parametrize("source", CONFIG_OF)
def test_a_mapping_has_no_registry_unless_one_is_given(source):
    assert registry_configs(source) == [None] * 3


def test_alarms_do_not_depend_on_a_registry():
    plain = BASE | {name: value for name, value in GLUE.items() if name != "SchemaRegistryUri"}
    alarms = stack.deploy(**(BASE | GLUE)).of_type("AWS::CloudWatch::Alarm")
    assert alarms == stack.deploy(**plain).of_type("AWS::CloudWatch::Alarm")


def test_mappings_share_pollers_only_in_a_group():
    assert mapping(MinimumPollers="1")["ProvisionedPollerConfig"] == {"MinimumPollers": "1", "MaximumPollers": "200"}
    for group in {
        one["ProvisionedPollerConfig"]["PollerGroupName"]
        for one in stack.deploy(**(BASE | PROVISIONED)).mappings().values()
    }:
        assert group == "events"


def test_a_start_time_is_passed_on():
    made = mapping(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp="1700000000")
    assert (made["StartingPosition"], made["StartingPositionTimestamp"]) == ("AT_TIMESTAMP", "1700000000")
    assert "StartingPositionTimestamp" not in mapping()


@pytest.mark.parametrize(
    ("parameters", "replicas"),
    [
        ({}, "auto"),
        ({"SearchDomainStandby": "true"}, "2"),
        ({"SearchDomainStandby": "true", "IndexReplicas": "5"}, "5"),
    ],
)
def test_a_domain_with_standby_gets_copies_in_three_zones(parameters, replicas):
    assert stack.deploy(**(BASE | parameters)).resources["SearchCluster"]["Properties"]["Replicas"] == replicas


def test_the_environment_fits_beside_the_longest_certificate():
    longest = {"SearchCaCert": "p" * 2048, "SearchAuth": "basic", "AdminSecretArn": SECRET + "a" * 200}
    made = stack.deploy(**(BASE | longest))
    for function in ("IndexEvents", "ReplayDeadLetters", "ProvisionCluster"):
        n_bytes = sum(len(name) + len(value) for name, value in made.environment(function).items())
        assert n_bytes <= 3400, "700 bytes are left for what users make longer"


def test_an_alarm_fires_when_no_mapping_reports_its_lag():
    made = alarm("PollingAlarm")
    assert made["TreatMissingData"] == "breaching"
    assert (made["Namespace"], made["MetricName"], made["Dimensions"][0]["Value"]) == (
        "AWS/Lambda",
        "OffsetLag",
        "stack-index-events",
    )
    # A lag is never below zero, so that only missing data counts.
    assert (made["ComparisonOperator"], made["Threshold"]) == ("LessThanThreshold", 0)
    assert made["Period"] * int(made["EvaluationPeriods"]) == 30 * 60
    assert alarm("PollingAlarm", PollingAlarmMinutes="5")["EvaluationPeriods"] == "5"


def test_each_mapping_in_provisioned_mode_has_an_alarm_of_its_own():
    made = stack.deploy(**(BASE | PROVISIONED | {"Topics": "a.events,b.events", "AlarmTopicArn": SNS}))
    mappings = made.of_type("AWS::Lambda::EventSourceMapping")
    for topic in ("aevents", "bevents"):
        alarm_of = made.of_type("AWS::CloudWatch::Alarm")[f"PollingAlarmOf{topic}"]
        (dimension,) = alarm_of["Dimensions"]
        assert dimension == {"Name": "EventSourceMappingUUID", "Value": f"MappingOf{topic}"}
        # The mapping reports this metric because of its MetricsConfig.
        assert alarm_of["MetricName"] == "MaxOffsetLag"
        assert "KafkaMetrics" in mappings[f"MappingOf{topic}"]["MetricsConfig"]["Metrics"]
        assert (alarm_of["TreatMissingData"], alarm_of["ComparisonOperator"], alarm_of["Threshold"]) == (
            "breaching",
            "LessThanThreshold",
            0,
        )
        assert alarm_of["AlarmActions"] == alarm_of["OKActions"] == [SNS]


@pytest.mark.parametrize("parameters", [{"MappingsEnabled": "false"}, {"PollingAlarmMinutes": "0"}])
def test_a_mapping_that_is_meant_to_be_silent_has_no_alarm(parameters):
    alarms = stack.deploy(**(BASE | PROVISIONED | parameters)).of_type("AWS::CloudWatch::Alarm")
    assert not [name for name in alarms if name.startswith("PollingAlarmOf")]


def test_a_mapping_on_demand_has_no_alarm_of_its_own_because_lambda_reports_no_lag_for_it():
    alarms = stack.deploy(**BASE).of_type("AWS::CloudWatch::Alarm")
    assert "PollingAlarm" in alarms and not [name for name in alarms if name.startswith("PollingAlarmOf")]


def test_no_alarm_fires_for_mappings_that_are_meant_to_be_silent():
    assert alarm("PollingAlarm", MappingsEnabled="false") is None
    assert alarm("PollingAlarm", PollingAlarmMinutes="0") is None


def test_alarms_watch_the_functions_that_the_stack_makes():
    made = stack.deploy(**(BASE | {"OnFailureDestinationArn": MODES["provisioned, queue"]["OnFailureDestinationArn"]}))
    names = {function["FunctionName"] for function in made.of_type("AWS::Lambda::Function").values()}
    for name, properties in made.of_type("AWS::CloudWatch::Alarm").items():
        (dimension,) = properties["Dimensions"]
        expected = {"failed"} if name == "OnFailureQueueAlarm" else names
        assert dimension["Value"] in expected, name
    assert "OnFailureQueueAlarm" in made.of_type("AWS::CloudWatch::Alarm")


def test_mappings_invoke_the_alias_only_while_deployments_are_gradual():
    assert mapping()["FunctionName"] == "IndexEvents"
    made = stack.deploy(
        **(BASE | {"GradualDeployment": "true", "GradualDeploymentType": "Linear10PercentEvery1Minute"})
    )
    assert made.mappings()["order.events"]["FunctionName"] == "IndexEventsAliaslive"
    (group,) = made.of_type("AWS::CodeDeploy::DeploymentGroup").values()
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaLinear10PercentEvery1Minute"
    assert [one["Name"] for one in group["AlarmConfiguration"]["Alarms"]] == [
        "Monitoring.Outputs.FunctionErrorsAlarm",
        "Monitoring.Outputs.FailedRecordsAlarm",
    ]
    assert stack.deploy(**BASE).of_type("AWS::CodeDeploy::DeploymentGroup") == {}


def test_an_alias_follows_a_change_of_the_variables():
    assert stack.source()["Resources"]["IndexEvents"]["Properties"]["AutoPublishAliasAllProperties"] is True


def test_keys_concurrency_layers_and_tracing_reach_every_function():
    given = {
        "EnvironmentKmsKeyArn": KEY,
        "LogKmsKeyArn": KEY,
        "ReservedConcurrency": "7",
        "Tracing": "Active",
        "LayerArns": "arn:aws:lambda:eu-central-1:123456789012:layer:ca:1",
    }
    made, plain = stack.deploy(**(BASE | given)), stack.deploy(**BASE)
    functions, without = made.of_type("AWS::Lambda::Function"), plain.of_type("AWS::Lambda::Function")
    assert len(functions) == 3
    for name, properties in functions.items():
        assert properties["KmsKeyArn"] == KEY and "KmsKeyArn" not in without[name]
        assert properties["TracingConfig"] == {"Mode": "Active"} and without[name]["TracingConfig"] == {
            "Mode": "PassThrough"
        }
        assert (
            properties["Layers"][:-1] == [given["LayerArns"]] and without[name]["Layers"] == properties["Layers"][-1:]
        )
        assert made.allows(f"{name}Role", "xray:PutTraceSegments", "*")
        assert "xray:PutTraceSegments" not in plain.actions(f"{name}Role")
    assert functions["IndexEvents"]["ReservedConcurrentExecutions"] == "7"
    assert "ReservedConcurrentExecutions" not in without["IndexEvents"]
    assert {log["KmsKeyId"] for log in made.of_type("AWS::Logs::LogGroup").values()} == {KEY}


def test_metrics_do_not_depend_on_the_log_level():
    # The lines of the metrics have the highest level (functions/lambda-support/src/metrics.rs), which no setting drops.
    declared = stack.source()["Parameters"]["LogLevel"]["AllowedValues"]
    assert "FATAL" not in declared
    for level in declared:
        logging = stack.deploy(**(BASE | {"LogLevel": level})).of_type("AWS::Lambda::Function")["IndexEvents"][
            "LoggingConfig"
        ]
        assert (logging["ApplicationLogLevel"], logging["SystemLogLevel"]) == (level, "INFO")


@pytest.mark.parametrize("name", ["template.yaml", "monitoring.yaml"])
def test_conditions_compare_numbers_through_sub_because_localstack_compares_types(name):
    template = stack.source() if name == "template.yaml" else stack.nested(name)
    numbers = {parameter for parameter, declared in template["Parameters"].items() if declared["Type"] == "Number"}
    compared = [text for path, text in stack.leaves(template["Conditions"]) if path.endswith(".Ref")]
    assert not numbers & set(compared)


def samconfig() -> dict:
    return tomllib.loads((stack.INFRA / "samconfig.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["dev", "staging", "production"])
def test_an_environment_builds_and_deploys_with_the_same_parameters(name):
    environment = samconfig()[name]
    overrides = environment["global"]["parameters"]["parameter_overrides"]
    assert any(one.startswith("Architecture=") for one in overrides)
    known = stack.source()["Parameters"]
    assert {one.split("=", 1)[0] for one in overrides} <= set(known)
    # `sam build` and `sam deploy` read the global parameters; a list of their own would take their place.
    for command in ("build", "deploy"):
        assert "parameter_overrides" not in environment[command]["parameters"]
        assert environment[command]["parameters"]["language_extensions"] is True
    assert environment["global"]["parameters"]["stack_name"] == f"kafka-to-search-{name}"
    assert f"environment={name}" in environment["deploy"]["parameters"]["tags"]


def test_only_production_asks_before_it_changes_anything():
    asks = {
        name: samconfig()[name]["deploy"]["parameters"]["confirm_changeset"]
        for name in ("dev", "staging", "production")
    }
    assert asks == {"dev": False, "staging": False, "production": True}


def test_localstack_gets_the_expanded_template():
    assert samconfig()["local"]["build"]["parameters"]["template_file"] == "expanded.yaml"


@pytest.mark.parametrize("name", ["dev", "production"])
def test_sam_builds_an_environments_functions_for_its_architecture(name):
    from samcli.lib.providers.sam_function_provider import SamFunctionProvider
    from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

    overrides = dict(one.split("=", 1) for one in samconfig()[name]["global"]["parameters"]["parameter_overrides"])
    template = str(stack.INFRA / "template.yaml")
    for given, expected in ((overrides, ["arm64"]), ({}, ["x86_64"])):
        stacks, _ = SamLocalStackProvider.get_stacks(
            template, parameter_overrides=given, language_extensions_enabled=True
        )
        built = {function.name: function.architectures for function in SamFunctionProvider(stacks).get_all()}
        assert built == dict.fromkeys(("IndexEvents", "ReplayDeadLetters", "ProvisionCluster"), expected)


def preset(**parameters: str) -> tuple[str, ...]:
    """What a preset, and parameters beside it, make of the mapping, the function and the cluster's settings."""
    made = stack.deploy(**(BASE | parameters))
    order = made.mappings()["order.events"]
    (function,) = (
        one
        for one in made.of_type("AWS::Lambda::Function").values()
        if "BULK_COMPRESSION" in one["Environment"]["Variables"] and one["FunctionName"].endswith("index-events")
    )
    (cluster,) = made.of_type("Custom::SearchCluster").values()
    return (
        order["BatchSize"],
        order["MaximumBatchingWindowInSeconds"],
        cluster["RefreshInterval"],
        function["Environment"]["Variables"]["BULK_COMPRESSION"],
        function["MemorySize"],
        order.get("ProvisionedPollerConfig", {}).get("MinimumPollers", "0"),
    )


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ({}, ("5000", "1", "1s", "gzip", "512", "0")),
        ({"Preset": "balanced"}, ("5000", "1", "1s", "gzip", "512", "0")),
        ({"Preset": "throughput"}, ("10000", "2", "10s", "gzip", "1024", "0")),
        ({"Preset": "latency"}, ("1000", "0", "100ms", "none", "1024", "1")),
    ],
)
def test_a_preset_sets_batches_refresh_compression_memory_and_pollers(name, made):
    assert preset(**name) == made


def test_a_parameter_of_the_users_own_wins_over_the_preset():
    own = {
        "BatchSize": "7",
        "BatchWindowSeconds": "300",
        "RefreshInterval": "30s",
        "BulkCompression": "gzip",
        "MemorySize": "128",
        "MinimumPollers": "0",
    }
    assert preset(Preset="latency", **own) == tuple(own.values())
    assert preset(Preset="latency", RefreshInterval="-1") == ("1000", "0", "-1", "none", "1024", "1")
    assert preset(Preset="balanced", MinimumPollers="5")[-1] == "5"
