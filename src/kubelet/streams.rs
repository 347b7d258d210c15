//! The lists that kubelet reads from us: how many, and the end of all of them.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Offer;
use super::proto::deviceplugin::{Device, ListAndWatchResponse, NumaNode, TopologyInfo};

/// The stream of lists that a ListAndWatch gets.
pub(super) type Lists = ReceiverStream<Result<ListAndWatchResponse, Status>>;

/// All streams of a resource; every clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    count: Arc<watch::Sender<usize>>,
    /// Which generation of streams may live.
    generation: Arc<watch::Sender<u64>>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { count: Arc::new(watch::Sender::new(0)), generation: Arc::new(watch::Sender::new(0)) }
    }
}

impl Streams {
    /// How many there are.
    pub(super) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Ends those that there are now.
    pub(super) fn end_all(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// A new stream: the list as it is now, and each later one. A list that nobody has read yet is replaced by the next.
    pub(super) fn open(&self, mut offers: watch::Receiver<Vec<Offer>>) -> Lists {
        let (lists, stream) = mpsc::channel(1);
        let mut generation = self.generation.subscribe();
        generation.mark_unchanged();
        let counted = Counted::new(self.clone());
        tokio::spawn(async move {
            let _counted = counted;
            let lasting = async {
                loop {
                    let Ok(room) = lists.reserve().await else { return };
                    let list = list(&offers.borrow_and_update());
                    room.send(Ok(list));
                    if offers.changed().await.is_err() {
                        // No more news is no end: the list stays true.
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! {
                () = lasting => {}
                () = lists.closed() => {}
                _ = generation.changed() => {}
            }
        });
        ReceiverStream::new(stream)
    }
}

/// One stream in the count.
#[derive(Debug)]
struct Counted(Streams);

impl Counted {
    fn new(streams: Streams) -> Self {
        streams.count.send_modify(|count| *count += 1);
        Self(streams)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

fn list(offers: &[Offer]) -> ListAndWatchResponse {
    let device = |offer: &Offer| Device {
        id: offer.id.clone(),
        health: if offer.healthy { "Healthy" } else { "Unhealthy" }.to_owned(),
        // An empty topology is not the same as none: kubelet would take the device for one of no node at all.
        topology: offer.numa.map(|node| TopologyInfo { nodes: vec![NumaNode { id: node.into() }] }),
    };
    ListAndWatchResponse { devices: offers.iter().map(device).collect() }
}
