@echo off
rem Deploys the stack to a Kubernetes cluster, part by part, and waits until each part is ready. deploy.sh does the same.
setlocal enabledelayedexpansion

for %%I in ("%~dp0..") do set "KUBERNETES=%%~fI"
for %%I in ("%KUBERNETES%\..\..") do set "REPOSITORY=%%~fI"

set "INFRASTRUCTURE=no"
set "ELK=no"
set "FUNCTIONS=no"
set "OVERLAY=dev"
set "NAMESPACE=demo-micro"
set "DRY_RUN=no"
set "PORT=4566"
if defined LOCALSTACK_PORT set "PORT=%LOCALSTACK_PORT%"

:arguments
if "%~1"=="" goto chosen
if "%~1"=="--infrastructure" (set "INFRASTRUCTURE=yes" & shift & goto arguments)
if "%~1"=="--elk" (set "ELK=yes" & shift & goto arguments)
if "%~1"=="--functions" (set "FUNCTIONS=yes" & shift & goto arguments)
if "%~1"=="--all" (set "INFRASTRUCTURE=yes" & set "ELK=yes" & set "FUNCTIONS=yes" & shift & goto arguments)
if "%~1"=="--overlay" (
    if "%~2"=="" (echo --overlay needs a name: dev or production 1>&2 & exit /b 2)
    set "OVERLAY=%~2" & shift & shift & goto arguments
)
if "%~1"=="--namespace" (
    if "%~2"=="" (echo --namespace needs a name 1>&2 & exit /b 2)
    set "NAMESPACE=%~2" & shift & shift & goto arguments
)
if "%~1"=="--dry-run" (set "DRY_RUN=yes" & shift & goto arguments)
if "%~1"=="--help" (call :usage & exit /b 0)
call :usage
echo deploy.bat: unknown option %~1 1>&2
exit /b 2

:chosen
if "%INFRASTRUCTURE%%ELK%%FUNCTIONS%"=="nonono" (set "INFRASTRUCTURE=yes" & set "ELK=yes" & set "FUNCTIONS=yes")
if not exist "%KUBERNETES%\overlays\%OVERLAY%\kustomization.yaml" (
    echo deploy.bat: unknown overlay %OVERLAY%: use dev or production 1>&2
    exit /b 2
)
set "SOURCE=%KUBERNETES%\overlays\%OVERLAY%"
if not "%NAMESPACE%"=="demo-micro" (
    set "SOURCE=%KUBERNETES%\overlays\namespace-%NAMESPACE%"
    if not exist "!SOURCE!" mkdir "!SOURCE!"
    > "!SOURCE!\kustomization.yaml" (
        echo resources: [../%OVERLAY%]
        echo namespace: %NAMESPACE%
    )
)

call :step "Namespace, access and network policies"
call :run kubectl apply -k "%SOURCE%" -l kafka-to-search/step=foundation || goto failed

call :step "Secrets"
call :run kubectl --namespace "%NAMESPACE%" delete job -l kafka-to-search/step=secrets --ignore-not-found || goto failed
call :run kubectl apply -k "%SOURCE%" -l kafka-to-search/step=secrets || goto failed
call :run_job stack-secrets 300s || goto failed

if "%INFRASTRUCTURE%"=="no" goto elk
call :step "Infrastructure"
call :run kubectl --namespace "%NAMESPACE%" delete job -l kafka-to-search/step=infrastructure --ignore-not-found || goto failed
call :run kubectl apply -k "%SOURCE%" -l kafka-to-search/step=infrastructure || goto failed
call :step "Kafka"
call :run kubectl --namespace "%NAMESPACE%" rollout status statefulset/kafka --timeout=600s || goto failed
call :step "Kafka topics"
call :run_job kafka-topics 600s || goto failed
call :step "Redis"
call :run kubectl --namespace "%NAMESPACE%" rollout status statefulset/redis --timeout=180s || goto failed
if not "%OVERLAY%"=="dev" goto elk
call :step "LocalStack"
call :run kubectl --namespace "%NAMESPACE%" rollout status deployment/localstack --timeout=300s || goto failed

:elk
if "%ELK%"=="no" goto functions
call :step "Logstash ConfigMap"
call :run kubectl apply -k "%SOURCE%" -l kafka-to-search/step=logstash-config || goto failed
call :step "ELK"
call :run kubectl --namespace "%NAMESPACE%" delete job -l kafka-to-search/step=elk --ignore-not-found || goto failed
call :run kubectl apply -k "%SOURCE%" -l kafka-to-search/step=elk || goto failed
call :step "Elasticsearch"
call :run kubectl --namespace "%NAMESPACE%" rollout status statefulset/elasticsearch --timeout=600s || goto failed
call :step "Elasticsearch setup"
call :run_job elasticsearch-setup 600s || goto failed
call :step "Logstash"
call :run kubectl --namespace "%NAMESPACE%" rollout status statefulset/logstash --timeout=180s || goto failed
call :step "Kibana"
call :run kubectl --namespace "%NAMESPACE%" rollout status deployment/kibana --timeout=300s || goto failed
call :step "Cluster provisioning"
call :run_job provision-cluster 600s || goto failed
call :step "Kibana setup"
call :run_job kibana-setup 600s || goto failed

:functions
if "%FUNCTIONS%"=="no" goto end
if "%OVERLAY%"=="production" (
    call :step "Functions"
    echo The functions of production run on AWS: deploy them with sam deploy ^(docs/DEPLOYING.md^). Skipping this part.
    goto end
)
call :step "Functions: build"
cd /d "%REPOSITORY%" || goto failed
call :run sam build --template-file infra/expanded.yaml --build-dir .aws-sam/build || goto failed
call :step "Functions: deploy to LocalStack"
set "AWS_ENDPOINT_URL=http://127.0.0.1:%PORT%"
set "AWS_ACCESS_KEY_ID=test"
set "AWS_SECRET_ACCESS_KEY=test"
rem The pod copies the Elasticsearch key from its Kubernetes Secret into LocalStack's Secrets Manager. Only the ARN comes here.
set "SECRET_ARN=ARN-OF-THE-SECRET"
if "%DRY_RUN%"=="yes" (
    echo would run: kubectl --namespace %NAMESPACE% exec deployment/localstack -- python3 -B /jobs/search_secret.py
    echo would run: kubectl --namespace %NAMESPACE% port-forward service/localstack %PORT%:4566
) else (
    set "SECRET_ARN="
    for /f "delims=" %%A in ('kubectl --namespace "%NAMESPACE%" exec deployment/localstack -- python3 -B /jobs/search_secret.py') do set "SECRET_ARN=%%A"
    if "!SECRET_ARN!"=="" goto failed
    start "kafka-to-search-port-forward" /min kubectl --namespace "%NAMESPACE%" port-forward service/localstack %PORT%:4566
)
call :run curl --silent --show-error --fail --retry 30 --retry-delay 1 --retry-connrefused "http://127.0.0.1:%PORT%/_localstack/health" || goto failed
call :run sam deploy --template-file .aws-sam/build/template.yaml --stack-name kafka-to-search --region us-east-1 --resolve-s3 --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-confirm-changeset --no-fail-on-empty-changeset --parameter-overrides KafkaBootstrapServers=kafka:29092 SearchEndpoint=http://elasticsearch:9200 SearchAuth=api_key SearchPlaintext=allow "SearchSecretArn=%SECRET_ARN%" Provision=false || goto failed
call :step "Functions: poller"
call :run kubectl apply -k "%SOURCE%" -l kafka-to-search/step=functions || goto failed
call :run kubectl --namespace "%NAMESPACE%" rollout status deployment/kafka-poller --timeout=300s || goto failed

:end
call :stop_forward
echo.
if "%DRY_RUN%"=="yes" (
    echo Nothing was changed ^(--dry-run^).
) else if "%ELK%"=="yes" (
    echo Kafka integration enabled. Check it with: bash infra/kubernetes/scripts/verify.sh --overlay %OVERLAY% --namespace %NAMESPACE%
) else (
    echo Done.
)
exit /b 0

:failed
call :stop_forward
echo deploy.bat: failed at: %PART% 1>&2
exit /b 1

:step
set "PART=%~1"
echo.
echo == %~1
exit /b 0

:run
if "%DRY_RUN%"=="yes" (
    echo would run: %*
    exit /b 0
)
call %*
exit /b %ERRORLEVEL%

:run_job
rem If a Job does not complete, its log shows why.
call :run kubectl --namespace "%NAMESPACE%" wait --for=condition=complete "job/%~1" "--timeout=%~2" && exit /b 0
kubectl --namespace "%NAMESPACE%" logs "job/%~1" --all-containers --tail=20 1>&2
exit /b 1

:stop_forward
taskkill /fi "WINDOWTITLE eq kafka-to-search-port-forward*" >nul 2>nul
exit /b 0

:usage
echo Usage: deploy.bat [PART ...] [OPTION ...]
echo.
echo Parts (default --all):
echo   --infrastructure    Kafka and its topics, Redis; in dev also LocalStack
echo   --elk               Elasticsearch, Logstash, Kibana
echo   --functions         the Lambda functions in LocalStack, and the poller that calls them (dev; needs sam and curl)
echo   --all               all parts
echo.
echo Options:
echo   --overlay NAME      dev (default) or production
echo   --namespace NAME    the namespace (default demo-micro)
echo   --dry-run           print the commands without running them
echo   --help              print this text
echo.
echo Deploys to the cluster of kubectl's current context. The variable LOCALSTACK_PORT (default 4566) sets the local port that is
echo forwarded to LocalStack.
exit /b 0
