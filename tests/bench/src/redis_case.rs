//! A server in a scenario of `redis`, and what is measured of it in a round.

use crate::Result;
use crate::client::Client;
use crate::competitor::Competitor;
use crate::directory::Directory;
use crate::figures::Series;
use crate::load::{Wrk, WrkReport, microseconds};
use crate::process::Server;
use crate::redis_scenario::{Action, Scenario, visits};
use crate::redis_server::Redis;
use crate::requests::SCRIPT;

/// The load. With 32 connections, servers send several commands to Redis in one write
/// (pipelining), as they do on a busy site. With fewer connections, each command costs Redis
/// more, because fewer commands share a read and a write of the socket.
pub(crate) const WRK: Wrk = Wrk { connections: 32, seconds: 1, script: SCRIPT };

/// A server in a scenario, with a Redis of its own, so that no competitor meets the keys of
/// another. Both run during the whole part, and are idle while others are measured.
pub(crate) struct Case {
    pub(crate) competitor: Competitor,
    redis: Redis,
    server: Server,
    /// The cookies of the sessions.
    cookies: Vec<String>,
    /// Arguments of the Lua script: the file of requests, and the length of one.
    requests: [String; 2],
    /// Number of commands that the server sends to Redis per request.
    pub(crate) sent: f64,
    pub(crate) measured: Measured,
}

/// One figure per round: `rate` in requests per second, CPU times in microseconds per request,
/// `run` in commands per request, and `lost` as a fraction of all updates.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) rate: Series,
    pub(crate) redis_cpu: Series,
    pub(crate) server_cpu: Series,
    pub(crate) run: Series,
    pub(crate) lost: Series,
}

impl Case {
    /// Starts Redis and the server, and writes the requests to a file for wrk, after checking
    /// the responses to the first one.
    pub(crate) fn start(
        scenario: &Scenario,
        competitor: Competitor,
        directory: &Directory,
    ) -> Result<Case> {
        let redis = Redis::start(directory)?;
        let name = format!("redis-{}", competitor.name());
        let server = Server::serve(&[&name, &redis.address().to_string()], &[])?;
        let mut client = Client::new(server.address)?;
        let cookies = scenario.cookies(&mut client)?;
        let requests = scenario.requests(&cookies);
        let request = requests.first().ok_or("the scenario has no request")?;
        scenario
            .check(&mut client, request, &cookies)
            .map_err(|error| format!("{}, {name}: {error}", scenario.name))?;
        let file = format!("{}-{name}.requests", scenario.name);
        let file = directory.write(&file, requests.concat())?;
        let requests = [file, request.len().to_string()];
        let measured = Measured::default();
        Ok(Case { competitor, redis, server, cookies, requests, sent: 0.0, measured })
    }

    /// Runs the load twice without recording times: once so that caches fill, and once to count
    /// the commands that the server sends.
    pub(crate) fn warm_up(&mut self) -> Result {
        let Case { redis, server, requests, .. } = self;
        load(server, requests)?;
        let (sent, report) = redis.count_sent(|| load(server, requests))?;
        // Rounded to hundredths, because a store may send a few commands of its own: Dustdevil
        // sweeps once per second.
        self.sent = (sent / served(&report) * 100.0).round() / 100.0;
        Ok(())
    }

    /// Runs the load once and records all figures.
    pub(crate) fn measure(&mut self, action: Action) -> Result {
        let visits = self.visits()?;
        let (redis, server) = (self.redis.usage()?, self.server.cpu_time()?);
        let report = load(&self.server, &self.requests)?;
        let (redis, server) =
            (self.redis.usage()?.since(redis), self.server.cpu_time()?.since(server));
        self.measured.rate.push(report.requests / report.duration * 1e6);
        self.measured.redis_cpu.push(redis.cpu / served(&report));
        self.measured.server_cpu.push(microseconds(server.sum()) / served(&report));
        self.measured.run.push(redis.commands / served(&report));
        if action == Action::Count {
            // Each request that wrk counts got its response after its update. Requests in
            // flight at the end are updates that wrk does not count, so the difference is
            // negative if no update was lost.
            let lost = report.requests - (self.visits()? - visits);
            self.measured.lost.push(lost.max(0.0) / report.requests);
        }
        Ok(())
    }

    /// Returns the sum of the counters of all sessions.
    fn visits(&self) -> Result<f64> {
        let mut client = Client::new(self.server.address)?;
        self.cookies.iter().map(|cookie| visits(&mut client, cookie)).sum()
    }
}

fn load(server: &Server, requests: &[String; 2]) -> Result<WrkReport> {
    WRK.run(server.address, &requests.each_ref().map(|argument| &**argument))
}

/// Returns the number of requests that the server got. When wrk stops, each connection has one
/// request in flight, which wrk does not count.
fn served(report: &WrkReport) -> f64 {
    report.requests + f64::from(WRK.connections)
}
