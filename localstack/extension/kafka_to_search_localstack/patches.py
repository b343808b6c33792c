"""The extension's patches to LocalStack, where it has no hook."""

from localstack.runtime import hooks
from localstack.utils.patch import patch

from kafka_to_search_localstack.mapping_defaults import is_kafka


@hooks.on_infra_start()
def install() -> None:
    """Applies the patches, once, before the first request."""
    # Imported here: the modules are heavy, and LocalStack loads plugins before it has set itself up.
    from localstack.services.cloudformation.engine.v2.change_set_model_preproc import ChangeSetModelPreproc
    from localstack.services.cloudformation.engine.v2.change_set_model_transform import ChangeSetModelTransform
    from localstack.services.cloudformation.engine.validations import ValidationError
    from localstack.services.lambda_.event_source_mapping.esm_worker_factory import EsmWorkerFactory
    from localstack.services.lambda_.invocation.lambda_service import LambdaService
    from localstack.services.lambda_.invocation.models import lambda_stores
    from localstack.services.lambda_.provider import LambdaProvider
    from localstack.services.lambda_.resource_providers.aws_lambda_eventsourcemapping import (
        LambdaEventSourceMappingProvider,
    )
    from localstack.services.lambda_.resource_providers.lambda_alias import LambdaAliasProvider

    from kafka_to_search_localstack.alias import update_alias
    from kafka_to_search_localstack.cloudformation import create_parameters, update_kafka_mapping
    from kafka_to_search_localstack.gateway import take_large_requests
    from kafka_to_search_localstack.mapping_rules import (
        check_function_timeout,
        check_kafka_mapping,
        merge_kafka_update,
        normalise_endpoints,
    )
    from kafka_to_search_localstack.mapping_worker import KafkaMappingWorker
    from kafka_to_search_localstack.request_size import check_request_size

    take_large_requests()

    @patch(LambdaService.invoke)
    def invoke(fn, self, *args, **kwargs):
        check_request_size(kwargs["invocation_type"], kwargs["payload"])
        return fn(self, *args, **kwargs)

    @patch(EsmWorkerFactory.get_esm_worker)
    def get_esm_worker(fn, self):
        if is_kafka(self.esm_config):
            return KafkaMappingWorker(self.esm_config, self.enabled)
        return fn(self)

    @patch(LambdaProvider.validate_event_source_mapping)
    def validate_event_source_mapping(fn, self, context, request):
        if is_kafka(request):
            normalise_endpoints(request)
            # Lambda requires credentials or a VPC for a self-managed cluster; a local one may have neither.
            request.setdefault("SourceAccessConfigurations", [])
            check_kafka_mapping(request, context.account_id, context.region)
        validated = fn(self, context, request)
        if is_kafka(request):
            _, _, _, version, _ = validated
            check_function_timeout(version.config.timeout)
        return validated

    @patch(LambdaProvider.update_event_source_mapping_v2)
    def update_event_source_mapping_v2(fn, self, context, request):
        mapping = lambda_stores[context.account_id][context.region].event_source_mappings.get(request.get("UUID"))
        if mapping and is_kafka(mapping):
            merge_kafka_update(mapping, request)
        return fn(self, context, request)

    # The engine decides on replacement from the template, and regards every Fn::If, and every reference to something that
    # changes, as a change. The updates below compare values.
    LambdaEventSourceMappingProvider.SCHEMA["createOnlyProperties"] = []
    LambdaAliasProvider.SCHEMA["createOnlyProperties"] = []

    @patch(LambdaEventSourceMappingProvider.create)
    def create(fn, self, request):
        if is_kafka(request.desired_state) and "KmsKeyArn" in request.desired_state:
            request.desired_state = create_parameters(request.desired_state)
        return fn(self, request)

    @patch(LambdaEventSourceMappingProvider.update)
    def update(fn, self, request):
        if is_kafka(request.desired_state):
            return update_kafka_mapping(self.create, self.delete, request)
        return fn(self, request)

    @patch(LambdaAliasProvider.update)
    def update_function_alias(fn, self, request):
        return update_alias(self.create, self.delete, request)

    def visit_ref_before_transform(self, node):
        try:
            return ChangeSetModelPreproc.visit_node_intrinsic_function_ref(self, node)
        except ValidationError:
            return self.visit(node.arguments)

    # The engine resolves references also before SAM expands the template. `!Ref Function.Version` is a resource that SAM
    # creates: as with other intrinsic functions there, what can't be resolved yet is left for later.
    ChangeSetModelTransform.visit_node_intrinsic_function_ref = visit_ref_before_transform
