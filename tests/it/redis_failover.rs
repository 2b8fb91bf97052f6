//! Failover by a real Redis Sentinel: the store has the addresses of the primary and of its replica,
//! and follows the promotion.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dustdevil::session::id::Id;
use dustdevil::{Lifetime, RedisSettings, RedisStore, Store};
use tokio::time::sleep;

use crate::control_client::RESPONSE_TIMEOUT;
use crate::redis_server::{RedisServer, directory, free_port};
use crate::support::CLIENT_IP;
use crate::webdriver::tell;

/// A `redis-sentinel` that watches one primary, and decides alone.
struct Sentinel(Child);

impl Sentinel {
    fn of(primary: &RedisServer) -> Sentinel {
        let file = directory().join("sentinel.conf");
        let (port, watched) = (free_port(), primary.port());
        let config = format!(
            "port {port}\nbind 127.0.0.1\nlogfile sentinel.log\ndir {}\n\
             sentinel monitor main 127.0.0.1 {watched} 1\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 2000\n",
            file.parent().unwrap().display()
        );
        fs::write(&file, config).expect("a file");
        let mut command = Command::new("redis-server");
        command.arg(&file).arg("--sentinel");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Sentinel(command.spawn().expect("redis-server starts"))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn sessions_survive_a_failover_by_sentinel() {
    let Some(mut primary) = RedisServer::start() else { return };
    let port = primary.port().to_string();
    let Some(replica) =
        RedisServer::start_with(&["--replicaof", &format!("127.0.0.1 {port}")])
    else {
        return;
    };
    let _sentinel = Sentinel::of(&primary);
    let urls = vec![primary.url(), replica.url()];
    let timeout = Duration::from_secs(1);
    let settings = RedisSettings { urls, timeout, ..RedisSettings::default() };
    let store = RedisStore::new(settings).unwrap();
    let key = Id::generate().key();
    let lifetime = Lifetime::default();
    assert!(store.create(key, lifetime, CLIENT_IP, "a", "1").await.unwrap());
    // Replication is asynchronous, and Sentinel asks the primary for its replicas first.
    let started = Instant::now();
    let is_replicated = || {
        let keys: Vec<String> = replica.query(&["KEYS", "*:session:*"]);
        keys.len() == 1
    };
    while !is_replicated() || started.elapsed() < Duration::from_secs(11) {
        assert!(started.elapsed() < RESPONSE_TIMEOUT, "the replica has no session");
        sleep(Duration::from_millis(50)).await;
    }

    primary.kill();
    let killed = Instant::now();
    while store.set(key, "a", "2").await != Ok(Some(())) {
        assert!(
            killed.elapsed() < RESPONSE_TIMEOUT,
            "the store does not find the new primary"
        );
        sleep(Duration::from_millis(20)).await;
    }
    tell(&format!("failover by Sentinel: written again after {:.1?}", killed.elapsed()));
    assert_eq!(store.get(key, "a").await.unwrap().flatten().as_deref(), Some("2"));
    assert_eq!(replica.info("replication", "role").as_deref(), Some("master"));
}
