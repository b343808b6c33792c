//! The poller as a process.

use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::lambda_api::LambdaApi;
use crate::wait;

/// A running poller; killed when it is dropped. A test that fails shows its log.
pub(crate) struct Poller {
    child: Child,
    log: tempfile::NamedTempFile,
}

impl Poller {
    pub(crate) fn start(api: &LambdaApi) -> Self {
        Self::start_with(api, &[])
    }

    pub(crate) fn start_with(api: &LambdaApi, options: &[&str]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = poller(api, "serve")
            .args(["--refresh-ms", "100"])
            .args(options)
            .env("RUST_LOG", "debug,hyper_util=info,reqwest=info")
            .stderr(Stdio::from(File::create(log.path()).unwrap()))
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.terminate();
        wait::until("the poller has ended", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap()
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Captured, and shown if the test fails, also when it fails after this poller was stopped.
        eprintln!("--- the poller's log\n{}", self.log());
    }
}

/// What `kafka-poller lag` prints.
pub(crate) fn lag(api: &LambdaApi) -> String {
    let output = poller(api, "lag").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn poller(api: &LambdaApi, command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kafka-poller"));
    program
        .args([command, "--endpoint-url", &format!("http://{}", api.address)])
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env_remove("AWS_ENDPOINT_URL");
    program
}
