//! A name server that says what it is told, over UDP.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::Place;

/// What is said about one family of a name.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// These addresses, which hold for a second.
    Are(Vec<IpAddr>),
    /// The name has none of this family.
    Nothing,
    /// No such name.
    Unknown,
    /// Not a word.
    Silence,
}

#[derive(Debug, Default)]
struct State {
    zone: HashMap<(String, RecordType), Says>,
    asked: Vec<(String, RecordType)>,
}

/// A name server. Names it was told nothing about do not exist.
#[derive(Debug)]
pub(crate) struct NameServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl NameServer {
    pub(crate) async fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(serve(socket, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// From now on it says this.
    pub(crate) fn say(&self, name: &str, a: Says, aaaa: Says) {
        let mut state = self.state.lock().unwrap();
        for (family, says) in [(RecordType::A, a), (RecordType::AAAA, aaaa)] {
            state.zone.insert((name.to_owned(), family), says);
        }
    }

    /// How often it was asked for this.
    pub(crate) fn asked(&self, name: &str, family: RecordType) -> usize {
        let state = self.state.lock().unwrap();
        let same = |asked: &&(String, RecordType)| asked.0 == name && asked.1 == family;
        state.asked.iter().filter(same).count()
    }

    /// Every name it was asked for.
    pub(crate) fn names(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.asked.iter().map(|(name, _)| name.clone()).collect()
    }
}

impl Place for NameServer {
    fn place(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 1500];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let question = query.queries[0].clone();
        let name = question.name().to_ascii();
        let key = (name.trim_end_matches('.').to_ascii_lowercase(), question.query_type());
        let says = {
            let mut state = state.lock().unwrap();
            state.asked.push(key.clone());
            state.zone.get(&key).cloned().unwrap_or(Says::Unknown)
        };
        let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
        reply.add_query(question.clone());
        match says {
            Says::Silence => continue,
            Says::Nothing => {}
            Says::Unknown => reply.metadata.response_code = ResponseCode::NXDomain,
            Says::Are(addresses) => {
                for address in addresses {
                    let data = match address {
                        IpAddr::V4(address) => RData::A(address.into()),
                        IpAddr::V6(address) => RData::AAAA(address.into()),
                    };
                    reply.add_answer(Record::from_rdata(question.name().clone(), 1, data));
                }
            }
        }
        socket.send_to(&reply.to_vec().unwrap(), peer).await.unwrap();
    }
}
