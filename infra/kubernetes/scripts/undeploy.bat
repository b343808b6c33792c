@echo off
rem Removes the stack from the cluster. Keeps volumes and secrets unless --delete-data is given. undeploy.sh does the same.
setlocal enabledelayedexpansion

for %%I in ("%~dp0..") do set "KUBERNETES=%%~fI"

set "OVERLAY=dev"
set "NAMESPACE=demo-micro"
set "DELETE_DATA=no"
set "DRY_RUN=no"

:arguments
if "%~1"=="" goto chosen
if "%~1"=="--overlay" (
    if "%~2"=="" (echo --overlay needs a name: dev or production 1>&2 & exit /b 2)
    set "OVERLAY=%~2" & shift & shift & goto arguments
)
if "%~1"=="--namespace" (
    if "%~2"=="" (echo --namespace needs a name 1>&2 & exit /b 2)
    set "NAMESPACE=%~2" & shift & shift & goto arguments
)
if "%~1"=="--delete-data" (set "DELETE_DATA=yes" & shift & goto arguments)
if "%~1"=="--dry-run" (set "DRY_RUN=yes" & shift & goto arguments)
if "%~1"=="--help" (call :usage & exit /b 0)
call :usage
echo undeploy.bat: unknown option %~1 1>&2
exit /b 2

:chosen
if not exist "%KUBERNETES%\overlays\%OVERLAY%\kustomization.yaml" (
    echo undeploy.bat: unknown overlay %OVERLAY%: use dev or production 1>&2
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

rem Consumers first, so that Logstash can still write its queue to Elasticsearch.
call :run kubectl delete -k "%SOURCE%" -l kafka-to-search/step=functions --ignore-not-found || exit /b 1
call :run kubectl --namespace "%NAMESPACE%" delete horizontalpodautoscaler logstash --ignore-not-found || exit /b 1
call :run kubectl --namespace "%NAMESPACE%" delete statefulset logstash --ignore-not-found --timeout=360s || exit /b 1
call :run kubectl --namespace "%NAMESPACE%" wait --for=delete pod -l app.kubernetes.io/name=logstash --timeout=360s || exit /b 1
call :run kubectl delete -k "%SOURCE%" -l "kafka-to-search/step in (elk, logstash-config, infrastructure, secrets)" --ignore-not-found || exit /b 1
if "%DELETE_DATA%"=="yes" (
    call :run kubectl delete namespace "%NAMESPACE%" --ignore-not-found || exit /b 1
)
exit /b 0

:run
if "%DRY_RUN%"=="yes" (
    echo would run: %*
    exit /b 0
)
call %*
exit /b %ERRORLEVEL%

:usage
echo Usage: undeploy.bat [OPTION ...]
echo.
echo   --overlay NAME      the deployed overlay: dev (default) or production
echo   --namespace NAME    the namespace (default demo-micro)
echo   --delete-data       also delete the volumes, the secrets and the namespace, with every event and password
echo   --dry-run           print the commands without running them
echo   --help              print this text
exit /b 0
