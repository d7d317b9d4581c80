//! One question to a name server over TCP (RFC 1035, 4.2.2; RFC 7766).
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE, rdata::RData};
use std::{io, net::Ipv4Addr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Any number: nothing else is asked over the same connection.
const NUMBER: u16 = 1;

/// The IPv4 addresses of a full `name`, in order.
///
/// # Errors
/// When the server breaks off, says nothing that is DNS, or refuses; that there is no such name is an error too.
pub async fn addresses(mut stream: impl AsyncRead + AsyncWrite + Unpin, name: &str) -> io::Result<Vec<Ipv4Addr>> {
    let mut query = Packet::new_query(NUMBER);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    let full = Name::new(name).map_err(invalid)?;
    query.questions.push(Question::new(full, TYPE::A.into(), CLASS::IN.into(), false));
    let query = query.build_bytes_vec().map_err(invalid)?;
    let length = u16::try_from(query.len()).map_err(invalid)?;
    stream.write_all(&[&length.to_be_bytes()[..], &query].concat()).await?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).await?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut reply).await?;
    let reply = Packet::parse(&reply).map_err(invalid)?;
    if reply.id() != NUMBER {
        return Err(invalid("the answer is to another question"));
    }
    match reply.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Err(invalid(format!("there is no {name}"))),
        other => return Err(invalid(format!("the name server answers {other:?}"))),
    }
    let address = |record: &simple_dns::ResourceRecord<'_>| match &record.rdata {
        RData::A(a) => Some(Ipv4Addr::from(a.address)),
        _ => None,
    };
    let mut found: Vec<Ipv4Addr> = reply.answers.iter().filter_map(address).collect();
    found.sort_unstable();
    Ok(found)
}

fn invalid(why: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{ResourceRecord, rdata::A};

    /// What is understood of an answer that `reply` makes of the question.
    async fn asked(reply: impl FnOnce(Packet<'_>) -> Vec<u8>) -> Result<Vec<Ipv4Addr>, String> {
        let (near, mut far) = tokio::io::duplex(4096);
        let server = async move {
            let mut length = [0; 2];
            far.read_exact(&mut length).await.unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            far.read_exact(&mut query).await.unwrap();
            let reply = reply(Packet::parse(&query).unwrap());
            far.write_all(&[&u16::try_from(reply.len()).unwrap().to_be_bytes()[..], &reply].concat()).await.unwrap();
        };
        let ((), answer) = futures::join!(server, addresses(near, "a.svc.cluster.local"));
        answer.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn addresses_are_read_out_of_an_answer() {
        let answer = asked(|query| {
            assert_eq!(query.questions[0].qname.to_string(), "a.svc.cluster.local");
            let mut reply = query.into_reply();
            for last in [9, 1] {
                let a = RData::A(A { address: Ipv4Addr::new(10, 96, 0, last).into() });
                reply.answers.push(ResourceRecord::new(Name::new_unchecked("a.svc.cluster.local"), CLASS::IN, 30, a));
            }
            reply.build_bytes_vec_compressed().unwrap()
        });
        assert_eq!(answer.await.unwrap(), [Ipv4Addr::new(10, 96, 0, 1), Ipv4Addr::new(10, 96, 0, 9)]);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_said() {
        let coded = |code: RCODE| {
            move |query: Packet<'_>| {
                let mut reply = query.into_reply();
                *reply.rcode_mut() = code;
                reply.build_bytes_vec().unwrap()
            }
        };
        assert_eq!(asked(coded(RCODE::NameError)).await.unwrap_err(), "there is no a.svc.cluster.local");
        assert_eq!(asked(coded(RCODE::ServerFailure)).await.unwrap_err(), "the name server answers ServerFailure");
        let other = |query: Packet<'_>| {
            let mut reply = query.into_reply();
            reply.set_id(7);
            reply.build_bytes_vec().unwrap()
        };
        assert_eq!(asked(other).await.unwrap_err(), "the answer is to another question");
        assert!(asked(|_| vec![1, 2, 3]).await.is_err());
        let (near, far) = tokio::io::duplex(16);
        drop(far);
        assert!(addresses(near, "a").await.is_err(), "a server that breaks off");
    }
}
