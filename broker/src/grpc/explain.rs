//! `ExplainService`, for operators.

use super::{Services, operator};
use crate::explain::{self, Explanation, Number, Step};
use crumb_proto::{
    Violations, convert, status,
    wire::{self, ExplainAskRequest, ExplainIdRequest, explain_service_server::ExplainService},
};
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl ExplainService for Services {
    async fn explain_id(&self, request: Request<ExplainIdRequest>) -> Result<Response<wire::Explanation>, Status> {
        operator::of(self.door, request.extensions())?;
        let mut v = Violations::default();
        let number: Option<Number> = v.parse("id", &request.into_inner().id);
        let number = number.ok_or_else(|| status::invalid(&v))?;
        let explained = self.broker.explain(number).await.map_err(|denial| status::to_status(&denial))?;
        Ok(Response::new(to_wire(explained)))
    }

    async fn explain_ask(&self, request: Request<ExplainAskRequest>) -> Result<Response<wire::Explanation>, Status> {
        operator::of(self.door, request.extensions())?;
        let ask = explain::read(&request.into_inner()).map_err(|v| status::invalid(&v))?;
        let explained = self.broker.explain_ask(ask).await.map_err(|denial| status::to_status(&denial))?;
        Ok(Response::new(to_wire(explained)))
    }
}

fn to_wire(explained: Explanation) -> wire::Explanation {
    wire::Explanation {
        id: explained.id,
        about: explained.about.as_str().to_owned(),
        decision: explained.decision.as_str().to_owned(),
        state: explained.state.to_owned(),
        record: explained.record.map(|(number, record)| record.into_wire(number)),
        denial: explained.denial.as_ref().map(convert::to_denial),
        steps: explained.steps.into_iter().map(to_step).collect(),
        assumed: explained.assumed,
        next: explained.next,
    }
}

fn to_step(step: Step) -> wire::Step {
    wire::Step {
        layer: step.layer.as_str().to_owned(),
        outcome: step.outcome.as_str().to_owned(),
        rule: step.rule,
        author: step.author,
        at_unix_ms: step.at_unix_ms,
        number: step.number,
    }
}
