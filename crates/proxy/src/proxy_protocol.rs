//! The PROXY protocol: whoever connects says, before anything else, for whom
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::{io, net::SocketAddr};

use proxy_header::{ParseConfig, ProxyHeader};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What the binary version begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The text version without addresses: no header of either version is shorter.
const SHORTEST: usize = b"PROXY UNKNOWN\r\n".len();
/// The longest header of the text version that the specification knows.
const LONGEST_TEXT: usize = 107;
/// The binary version's fixed part, the length of the rest at its end.
const FIXED: usize = 16;
/// The most bytes behind the fixed part: addresses, and what senders add about TLS and their networks.
const LONGEST_REST: usize = 4096;

/// Why a connection does not begin as it must.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    /// It broke before the header was whole.
    #[error("the connection ended within the PROXY protocol's header: {0}")]
    Io(#[from] io::Error),
    /// It is something else, or larger than it may be.
    #[error(
        "it does not begin with a PROXY protocol header; remove proxy_protocol from the listener, or have the load balancer send one"
    )]
    Invalid,
}

/// Receives the header and nothing behind it. The client that it names; none if the sender speaks for itself, as its
/// health checks do, or does not know.
pub(crate) async fn receive(tcp: &mut TcpStream) -> Result<Option<SocketAddr>, HeaderError> {
    let mut header = vec![0; SHORTEST];
    tcp.read_exact(&mut header).await?;
    if header.starts_with(SIGNATURE) {
        receive_binary(tcp, &mut header).await?;
    } else if header.starts_with(b"PROXY ") {
        receive_line(tcp, &mut header).await?;
    } else {
        return Err(HeaderError::Invalid);
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(&header, config) {
        Ok((parsed, length)) if length == header.len() => {
            Ok(parsed.proxied_address().map(|address| address.source))
        }
        _ => Err(HeaderError::Invalid),
    }
}

async fn receive_binary(tcp: &mut TcpStream, header: &mut Vec<u8>) -> Result<(), HeaderError> {
    append(tcp, header, FIXED - SHORTEST).await?;
    let Some(&[high, low]) = header.last_chunk() else { return Err(HeaderError::Invalid) };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest > LONGEST_REST {
        return Err(HeaderError::Invalid);
    }
    append(tcp, header, rest).await
}

/// Takes what is there up to the end of the line, again and again: what follows the line is none of ours.
async fn receive_line(tcp: &mut TcpStream, header: &mut Vec<u8>) -> Result<(), HeaderError> {
    let mut ahead = [0; LONGEST_TEXT];
    while header.last() != Some(&b'\n') {
        let room = ahead.get_mut(header.len()..).unwrap_or_default();
        if room.is_empty() {
            return Err(HeaderError::Invalid);
        }
        let seen = tcp.peek(room).await?;
        if seen == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let end = room.iter().take(seen).position(|byte| *byte == b'\n');
        append(tcp, header, end.map_or(seen, |end| end + 1)).await?;
    }
    Ok(())
}

async fn append(
    tcp: &mut TcpStream,
    header: &mut Vec<u8>,
    length: usize,
) -> Result<(), HeaderError> {
    let begin = header.len();
    header.resize(begin + length, 0);
    tcp.read_exact(header.get_mut(begin..).unwrap_or_default()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proxy_header::{ProxiedAddress, ProxyHeader, Tlv};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::{HeaderError, receive};

    /// What comes of these pieces, and what is left in the connection.
    async fn received(pieces: &[&[u8]]) -> (Result<Option<SocketAddr>, HeaderError>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sender = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let result = receive(&mut tcp).await;
        sender.await.unwrap();
        let mut rest = Vec::new();
        // Ends with a reset where bytes were left unread, as they are after a refusal.
        let _ = tcp.read_to_end(&mut rest).await;
        (result, rest)
    }

    fn binary(address: ProxiedAddress, tlv: Option<Tlv<'static>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        ProxyHeader::with_tlvs(Some(address), tlv).encode_v2(&mut bytes).unwrap();
        bytes
    }

    #[tokio::test]
    async fn both_versions_say_who_the_client_is_and_leave_the_rest() {
        let line = b"PROXY TCP4 1.2.3.4 5.6.7.8 4000 80\r\n";
        let (client, rest) = received(&[line, b"GET"]).await;
        assert_eq!(client.unwrap(), Some("1.2.3.4:4000".parse().unwrap()));
        assert_eq!(rest, b"GET");
        let bytewise: Vec<&[u8]> = line.chunks(1).chain([&b"\nG"[..]]).collect();
        let (client, rest) = received(&bytewise).await;
        assert_eq!(
            (client.unwrap(), &rest[..]),
            (Some("1.2.3.4:4000".parse().unwrap()), &b"\nG"[..])
        );
        let v6 = b"PROXY TCP6 2001:db8::1 ::1 4000 80\r\n";
        assert_eq!(received(&[v6]).await.0.unwrap(), Some("[2001:db8::1]:4000".parse().unwrap()));

        let address =
            ProxiedAddress::stream("1.2.3.4:4000".parse().unwrap(), "5.6.7.8:80".parse().unwrap());
        for tlv in [None, Some(Tlv::Authority("a.test".into()))] {
            let header = binary(address.clone(), tlv);
            let (client, rest) = received(&[&header[..20], &header[20..], b"\r\nrest"]).await;
            assert_eq!(client.unwrap(), Some("1.2.3.4:4000".parse().unwrap()));
            assert_eq!(rest, b"\r\nrest");
        }
    }

    #[tokio::test]
    async fn a_sender_may_speak_for_itself() {
        assert_eq!(received(&[b"PROXY UNKNOWN\r\nrest"]).await.0.unwrap(), None);
        let mut local = Vec::new();
        ProxyHeader::with_local().encode_v2(&mut local).unwrap();
        assert_eq!(received(&[&local]).await.0.unwrap(), None);
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let address =
            ProxiedAddress::stream("1.2.3.4:1".parse().unwrap(), "5.6.7.8:1".parse().unwrap());
        let mut huge = binary(address, None);
        huge[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXY TCP4 1.2.3.4 5.6.7.8 4000\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 4000 80 90\r\n",
            b"PROXY TCP4 1.2.3 5.6.7.8 4000 80\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 4000 80\n",
            &endless,
            &huge,
            &[b"\r\n\r\n\0\r\nQUIT\n".as_slice(), b"\x31\x11\0\x0c", &[0; 12]].concat(),
        ] {
            let result = received(&[bytes]).await.0;
            assert!(matches!(result, Err(HeaderError::Invalid)), "{bytes:?}: {result:?}");
        }
        assert!(matches!(received(&[b"PROXY TCP4 1.2.3.4"]).await.0, Err(HeaderError::Io(_))));
    }
}
