//! The tests' overlay as a program, and our client's two ends, for clients that nobody here wrote.
//!
//! `overlay serve DIR ADDRESS ROUTERS` has the services `salt-publish` and `salt-request`, and obeys lines on its
//! standard input: `service NAME`, `token NAME` (one-time, of a new identity, as `DIR/NAME.jwt`), `forget NAME`,
//! `stop N`, `start N`, `counts`, `behave 2022`. `overlay host FILE SERVICE` sends back what it was sent, from its end to its beginning, once
//! that ended. `overlay dial FILE SERVICE` tries it with 100 KiB.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for tests ends when anything is wrong, and says what it did"
)]

// Tests use all of it.
#[allow(dead_code, reason = "only a part of it is used here")]
#[path = "../tests/it/overlay.rs"]
mod overlay;

use std::path::Path;
use std::time::Duration;

use salt_transport::ziti::{self, Identity};
use salt_transport::{Listen as _, Principal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", directory, address, routers] => {
            serve(Path::new(directory), address, routers.parse().unwrap()).await;
        }
        ["host", file, service] => host(join(file), service).await,
        ["dial", file, service] => dial(&join(file), service).await,
        ["enrol", token, file] => {
            let token = std::fs::read_to_string(token).unwrap();
            Identity::enrol(&token, file).await.unwrap();
            println!("enrolled");
        }
        _ => panic!(
            "overlay serve DIR ADDRESS ROUTERS | host FILE SERVICE | dial FILE SERVICE | enrol TOKEN FILE"
        ),
    }
}

fn join(file: &str) -> ziti::Overlay {
    let (overlay, driver) = ziti::connect(Identity::read(file).unwrap());
    tokio::spawn(driver);
    overlay
}

async fn serve(directory: &Path, address: &str, routers: usize) {
    let mut overlay = overlay::Overlay::start_at(address, routers).await;
    println!("ready {}", overlay.url());
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            sender.send(line.unwrap()).unwrap();
        }
    });
    while let Some(line) = lines.recv().await {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["service", name] => overlay.service(name, true),
            ["token", name] => {
                std::fs::write(directory.join(format!("{name}.jwt")), overlay.token(name)).unwrap();
            }
            ["forget", name] => overlay.forget_identity(name),
            ["stop", at] => overlay.stop_router(at.parse().unwrap()).await,
            ["start", at] => overlay.start_router(at.parse().unwrap()).await,
            ["behave", "2022"] => overlay.behave(|behaviour| behaviour.as_in_2022 = true),
            ["behave", "2026"] => overlay.behave(|behaviour| behaviour.as_in_2022 = false),
            ["counts"] => println!("{:?} {:?}", overlay.counts(), overlay.not_understood()),
            _ => panic!("{line}"),
        }
        println!("done {line}");
    }
}

async fn host(overlay: ziti::Overlay, service: &str) {
    let mut listener = overlay.host(service).await.unwrap();
    println!("hosting");
    loop {
        let (mut stream, peer) = listener.accept().await.unwrap();
        let name = match peer.principal {
            Some(Principal::Overlay { name, .. }) => name,
            _ => "nobody".to_owned(),
        };
        tokio::spawn(async move {
            let mut heard = Vec::new();
            let ended = stream.read_to_end(&mut heard).await;
            println!(
                "heard {} of {name} ({}): {ended:?}",
                heard.len(),
                peer.label
            );
            heard.reverse();
            stream.write_all(&heard).await.unwrap();
            stream.shutdown().await.unwrap();
            // Until the other end is done, too.
            drop(stream.read(&mut [0; 1]).await);
        });
    }
}

async fn dial(overlay: &ziti::Overlay, service: &str) {
    let text: Vec<u8> = (0..25_600_u32).flat_map(u32::to_le_bytes).collect();
    let mut last = None;
    for _ in 0..60 {
        match overlay.dial(service).await {
            Ok(mut stream) => {
                stream.write_all(&text).await.unwrap();
                stream.shutdown().await.unwrap();
                let mut back = Vec::new();
                stream.read_to_end(&mut back).await.unwrap();
                back.reverse();
                assert!(back == text, "{} bytes came back", back.len());
                println!("dialed, and {} bytes came back", back.len());
                return;
            }
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{}", last.unwrap());
}
