//! See the library of this package.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    dustdevil_xray::program::run().await
}
