//! The limit to compare with: a FastAGI server that does nothing but answer; and one that syncs a page first.
//!
//! Accept, read to the blank line, one command, read the reply, close. No limits, no deadlines, no store. The one that
//! syncs writes over one page of a file for all that wait, which is the least that a durable ack can cost on this disk.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Disk = mpsc::Sender<tokio::sync::oneshot::Sender<()>>;

/// Serves for ever, syncing `page` before each answer where there is one; the first line on standard output is where.
pub fn serve(page: Option<PathBuf>) -> std::io::Result<()> {
    let disk = page.map(syncing).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            let disk = disk.clone();
            tokio::spawn(async move {
                let _ = answer(stream, disk).await;
            });
        }
    })
}

/// One sync for all that wait.
fn syncing(page: PathBuf) -> std::io::Result<Disk> {
    let file = File::create(page)?;
    file.write_all_at(&[0; 4096], 0)?;
    file.sync_all()?;
    let (disk, waiting) = mpsc::channel::<tokio::sync::oneshot::Sender<()>>();
    std::thread::spawn(move || {
        while let Ok(first) = waiting.recv() {
            let all: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
            if file.write_all_at(&[1; 4096], 0).and_then(|()| file.sync_data()).is_ok() {
                for one in all {
                    let _ = one.send(());
                }
            }
        }
    });
    Ok(disk)
}

async fn answer(mut stream: TcpStream, disk: Option<Disk>) -> std::io::Result<()> {
    let mut buffer = [0; 8192];
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"\n\n") {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Ok(()),
            n => filled += n,
        }
    }
    if let Some(disk) = disk {
        let (done, synced) = tokio::sync::oneshot::channel();
        disk.send(done).map_err(std::io::Error::other)?;
        synced.await.map_err(std::io::Error::other)?;
    }
    stream.write_all(b"SET VARIABLE X 1\n").await?;
    stream.read(&mut buffer).await.map(drop)
}
