@echo off
rem Checks a deployed stack with verify.sh, in the bash that Git for Windows or WSL brings.
setlocal

for %%I in ("%~dp0..\..\..") do set "REPOSITORY=%%~fI"

set "BASH="
for %%I in (bash.exe) do set "BASH=%%~$PATH:I"
rem The bash in System32 is WSL's, which has its own kubectl and contexts: Git's is taken before it.
if exist "%ProgramFiles%\Git\bin\bash.exe" set "BASH=%ProgramFiles%\Git\bin\bash.exe"
if "%BASH%"=="" (
    echo verify.bat: there is no bash: install Git for Windows, https://gitforwindows.org 1>&2
    exit /b 2
)
cd /d "%REPOSITORY%" || exit /b 2
rem Git's bash would change paths such as /opt/kafka/bin into those of Windows.
set "MSYS_NO_PATHCONV=1"
set "MSYS2_ARG_CONV_EXCL=*"
"%BASH%" infra/kubernetes/scripts/verify.sh %*
exit /b %ERRORLEVEL%
