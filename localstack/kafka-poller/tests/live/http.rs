//! Reads what a poller serves over HTTP.

use std::net::TcpListener;

use kafka_poller::aws::use_ring;

/// The status and body of a GET; 0 while nothing listens.
pub(crate) fn get(url: &str) -> (u16, String) {
    use_ring();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match reqwest::get(url).await {
            Ok(response) => (response.status().as_u16(), response.text().await.unwrap()),
            Err(_) => (0, String::new()),
        }
    })
}

/// An address of this machine whose port is free now.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
