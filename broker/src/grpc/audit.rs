//! `AuditService`: tool servers write over the network, operators read on the admin socket.

use super::{Door, Services};
use crate::{audit::Record, store::StoreError};
use crumb_proto::{
    Violations, status,
    wire::{
        AuditRecord, RecordDecisionsRequest, RecordDecisionsResponse, TailRequest, audit_service_server::AuditService,
    },
};
use crumb_token::{Denial, Reason, SessionId};
use futures::{Stream, StreamExt as _, stream};
use std::{collections::VecDeque, pin::Pin};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::{Request, Response, Status, async_trait};

/// How many records are read at once.
const PAGE: u32 = 256;

/// One reader of the trail, and how far it is.
struct Reader {
    services: Services,
    session: Option<String>,
    after: u64,
    follow: bool,
    newest: watch::Receiver<u64>,
    page: VecDeque<(u64, Record)>,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// Waits for the next record. `None` at the end, when it does not follow.
    async fn next(&mut self) -> Option<Result<AuditRecord, StoreError>> {
        loop {
            if let Some((number, record)) = self.page.pop_front() {
                self.after = number;
                return Some(Ok(record.into_wire(number)));
            }
            // Noted as seen before the page is read, so that a record which comes meanwhile wakes this reader again.
            self.newest.mark_unchanged();
            match self.services.broker.store.records(self.after, self.session.clone(), PAGE).await {
                Ok(page) if page.is_empty() && !self.follow => return None,
                Ok(page) if page.is_empty() => self.wait().await?,
                Ok(page) => self.page = page.into(),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            changed = self.newest.changed() => changed.ok(),
            () = self.services.shutdown.cancelled() => None,
        }
    }
}

#[async_trait]
impl AuditService for Services {
    type TailStream = Pin<Box<dyn Stream<Item = Result<AuditRecord, Status>> + Send>>;

    async fn record_decisions(
        &self,
        request: Request<RecordDecisionsRequest>,
    ) -> Result<Response<RecordDecisionsResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        self.broker.record_decisions(message, &extensions).await?;
        Ok(Response::new(RecordDecisionsResponse {}))
    }

    async fn tail(&self, request: Request<TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        let refuse = |denial: Denial| status::to_status(&denial);
        if self.door != Door::Admin {
            let denial = Denial::new(Reason::NotAnOperator).by("the trail is read on the admin socket", "the broker");
            return Err(refuse(denial));
        }
        let TailRequest { after, session_id, follow } = request.into_inner();
        let mut v = Violations::default();
        let session: Option<SessionId> = (!session_id.is_empty()).then(|| v.parse("session_id", &session_id)).flatten();
        if !v.is_empty() {
            return Err(status::invalid(&v));
        }
        let place = self.streams.clone().try_acquire_owned();
        let _place = place.map_err(|_| refuse(Denial::new(Reason::Overloaded)))?;
        let reader = Reader {
            services: self.clone(),
            session: session.map(|id| id.to_string()),
            after,
            follow,
            newest: self.broker.store.newest(),
            page: VecDeque::new(),
            _place,
        };
        let records = stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            let record = reader.next().await?;
            let reader = record.is_ok().then_some(reader);
            Some((record, reader))
        });
        Ok(Response::new(Box::pin(records.map(move |record| record.map_err(|error| refuse(error.into()))))))
    }
}
