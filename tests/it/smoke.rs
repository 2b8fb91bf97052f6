use crate::support::{demo, serve};

#[tokio::test]
async fn the_whole_story() {
    let server = serve(demo()).await;
    let mut visitor = server.visitor();
    assert_eq!(visitor.log_in().await.status, 302);
    assert!(visitor.get("/main").await.text().contains("this is main page"));
    server.stop().await;
}
