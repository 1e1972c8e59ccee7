//! The tools over gRPC. The message was read once, by the mapping; here only the ask that was decided on counts.

use crate::{
    files::{Done, Files},
    wire::{self, files_server},
};
use crumb_token::Ask;
use tonic::{Request, Response, Status};

/// The service behind the layer.
#[derive(Clone, Debug)]
pub(crate) struct FilesService(pub(crate) Files);

impl FilesService {
    fn perform<M>(&self, request: &Request<M>) -> Result<Done, Status> {
        let ask = request.extensions().get::<Ask>().ok_or_else(|| Status::internal("not behind the layer"))?;
        self.0.perform(ask).map_err(|why| Status::not_found(why.to_string()))
    }
}

/// The tool that ran is not the one that the method stands for; the mapping and this file disagree.
fn mixed_up() -> Status {
    Status::internal("the call was mapped to another tool")
}

#[tonic::async_trait]
impl files_server::Files for FilesService {
    async fn search(&self, request: Request<wire::SearchRequest>) -> Result<Response<wire::SearchResponse>, Status> {
        let Done::Found(found) = self.perform(&request)? else { return Err(mixed_up()) };
        let matches = found.into_iter().map(|(path, line)| wire::Match { path, line }).collect();
        Ok(Response::new(wire::SearchResponse { matches }))
    }

    async fn read(&self, request: Request<wire::ReadRequest>) -> Result<Response<wire::ReadResponse>, Status> {
        let Done::Read(path, content) = self.perform(&request)? else { return Err(mixed_up()) };
        Ok(Response::new(wire::ReadResponse { path, content }))
    }

    async fn delete(&self, request: Request<wire::DeleteRequest>) -> Result<Response<wire::DeleteResponse>, Status> {
        let Done::Deleted(path) = self.perform(&request)? else { return Err(mixed_up()) };
        Ok(Response::new(wire::DeleteResponse { path }))
    }
}
