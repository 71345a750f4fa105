//! The connections of a twin: TCP, with or without TLS, and with a limit on what may still be written.
//!
//! The limit is how a connection is closed without an answer, or in the middle of one: once it is used up,
//! every write fails and the server gives the connection up. This file must not know HTTP.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How many more bytes a connection may write.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    allowance: Arc<AtomicUsize>,
}

impl Connection {
    fn new() -> Connection {
        Connection { allowance: Arc::new(AtomicUsize::new(usize::MAX)) }
    }

    pub(crate) fn allow_only(&self, bytes: usize) {
        self.allowance.store(bytes, Ordering::SeqCst);
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(crate) struct TwinStream {
    wire: Wire,
    connection: Connection,
}

impl AsyncRead for TwinStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for TwinStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let allowance = this.connection.allowance.load(Ordering::SeqCst);
        if allowance == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the twin closes this connection",
            )));
        }
        let bytes = bytes.get(..allowance).unwrap_or(bytes);
        let written = match &mut this.wire {
            Wire::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        };
        if let Poll::Ready(Ok(count)) = &written
            && allowance != usize::MAX
        {
            this.connection.allow_only(allowance.saturating_sub(*count));
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(context),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Connected<IncomingStream<'_, TwinListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, TwinListener>) -> Connection {
        stream.io().connection.clone()
    }
}

/// Gives connections to the server; TLS handshakes run beside each other, so that a stuck one delays nobody.
pub(crate) struct TwinListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TwinStream, SocketAddr)>,
}

impl TwinListener {
    pub(crate) fn new(listener: TcpListener, tls: Option<TlsAcceptor>) -> io::Result<TwinListener> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(64);
        tokio::spawn(accept_all(listener, tls, sender));
        Ok(TwinListener { address, ready })
    }
}

async fn accept_all(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    sender: mpsc::Sender<(TwinStream, SocketAddr)>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let Ok((stream, peer)) = accepted else { continue };
        // Small answers must not wait for Nagle's algorithm; without it they are only slower.
        let _ = stream.set_nodelay(true);
        let (tls, sender) = (tls.clone(), sender.clone());
        tokio::spawn(async move {
            let wire = match tls {
                None => Wire::Plain(stream),
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => Wire::Tls(Box::new(stream)),
                    Err(_) => return,
                },
            };
            // A closed channel means that the server stops: the connection goes with it.
            let _ = sender.send((TwinStream { wire, connection: Connection::new() }, peer)).await;
        });
    }
}

impl Listener for TwinListener {
    type Io = TwinStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TwinStream, SocketAddr) {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The accepting task ends only after this receiver is dropped.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
