//! A line in a queue file of agentchattr's, until the agent has it; the server
//! is the one that plays agentchattr in the tests.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use wrapper::types::upstream::Endpoint;

use super::agent::now;
use super::stage::{Outer, World};
use super::{Failure, PAUSE, enter, millis, spread};

const SERVER: &str = env!("CARGO_BIN_EXE_fake-agentchattr");

/// Prints the time to the first byte, the time to Enter, and what the two
/// questions take that are asked of the server for each prompt.
pub(super) async fn measure(world: &World, rounds: usize) -> Result<(), Failure> {
    let dir = world.dir.path().join("agentchattr");
    fs::create_dir(&dir)?;
    let mut server = Command::new(SERVER)
        .args(["--agent", "bench", "--port", "0", "--mcp-http-port", "0"])
        .args(["--mcp-sse-port", "0", "--data-dir"])
        .arg(&dir)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("no pipe")?).read_line(&mut line)?;
    let measured = play(world, rounds, &serde_json::from_str(&line)?).await;
    server.kill()?;
    server.wait()?;
    measured
}

async fn play(world: &World, rounds: usize, said: &Value) -> Result<(), Failure> {
    let dir = world.dir.path().join("agentchattr");
    let mut launch = world.command("wrapper");
    // Its own ports in the place of the hub's.
    launch.args.truncate(1);
    for (option, key) in [
        ("--port", "port"),
        ("--mcp-http-port", "mcp_http_port"),
        ("--mcp-sse-port", "mcp_sse_port"),
    ] {
        launch.args.push(option.into());
        launch.args.push(said[key].to_string().into());
    }
    launch.args.push("--data-dir".into());
    launch.args.push(dir.clone().into());
    let entry = json!({"sender": "user", "text": "user: x", "time": "00:00:00", "channel": "dev"});
    let append = || -> Result<(), Failure> {
        let path = dir.join("bench_queue.jsonl");
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(file.write_all(format!("{entry}\n").as_bytes())?)
    };
    let mut outer = Outer::run(&launch)?;
    outer.until(b"> ").await?;
    append()?;
    enter(&mut outer, &world.report).await?;
    let (mut asked, mut firsts, mut enters) = (Vec::new(), Vec::new(), Vec::new());
    let port = said["port"].as_u64().and_then(|port| port.try_into().ok());
    let client = wrapper::hub::Client::new(Endpoint::loopback(port.ok_or("no port")?, "/"));
    for _ in 0..rounds {
        outer.rest(PAUSE).await?;
        let start = Instant::now();
        // Refused or not, it is a round trip.
        let _ = client.health().await;
        asked.push(millis(start.elapsed()));
        outer.rest(PAUSE).await?;
        let start = now();
        append()?;
        let (first, entered) = enter(&mut outer, &world.report).await?;
        firsts.push((first - start) * 1e3);
        enters.push((entered - start) * 1e3);
    }
    outer.end().await?;
    println!("\nqueue line to the agent's standard input, {rounds} lines");
    println!("{:>18} {} ms", "a question asked", spread(&asked));
    println!("{:>18} {} ms", "first byte", spread(&firsts));
    println!(
        "{:>18} {:.2} ms",
        "slowest",
        firsts.iter().fold(0.0_f64, |a, b| a.max(*b))
    );
    println!(
        "{:>18} {} ms, 300 of them inject_delay",
        "Enter",
        spread(&enters)
    );
    Ok(())
}
