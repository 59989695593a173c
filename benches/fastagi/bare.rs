//! The limit to compare with: a FastAGI server that does nothing but answer.
//!
//! Accept, read to the blank line, one command, read the reply, close. No limits, no deadlines, no store.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves for ever; the first line on standard output is where.
pub fn serve() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(async move {
                let _ = answer(stream).await;
            });
        }
    })
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 8192];
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"\n\n") {
        match stream.read(&mut buffer[filled..]).await? {
            0 => return Ok(()),
            n => filled += n,
        }
    }
    stream.write_all(b"SET VARIABLE X 1\n").await?;
    stream.read(&mut buffer).await.map(drop)
}
