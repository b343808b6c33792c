//! The metric `OffsetLag`, and an alarm on it, in a real CloudWatch of LocalStack.

use serde_json::json;

use crate::kafka::Topic;
use crate::lambda_api::{FunctionResult, LambdaApi, OK};
use crate::process::Poller;
use crate::services::Services;
use crate::wait;

#[test]
fn an_alarm_on_the_lag_fires_while_a_mapping_is_behind_and_the_lag_ends_with_it() {
    let topic = Topic::new("behind.events", 2);
    topic.produce_numbers(0, 0..40);
    topic.produce_numbers(1, 0..10);
    let api = LambdaApi::start();
    api.function(|_| (std::time::Duration::ZERO, FunctionResult::Failed));
    // The function of the mapping, by its name alone, as in the template's LagAlarm.
    let function = format!("behind-{:08x}", rand::random::<u32>());
    api.map(
        &topic,
        json!({"FunctionArn": format!("arn:aws:lambda:us-east-1:000000000000:function:{function}:live")}),
    );
    let services = Services::new();
    let alarm = format!("lag-of-{function}");
    services.cloudwatch(format!(
        "Action=PutMetricAlarm&Version=2010-08-01&AlarmName={alarm}&Namespace=AWS%2FLambda&MetricName=OffsetLag\
         &Dimensions.member.1.Name=FunctionName&Dimensions.member.1.Value={function}&Statistic=Maximum&Period=10\
         &EvaluationPeriods=1&Threshold=50&ComparisonOperator=GreaterThanOrEqualToThreshold&TreatMissingData=notBreaching"
    ));
    let _poller = Poller::start_with(&api, &["--offset-lag-ms", "500"]);
    wait::until("the alarm fires", || {
        let alarms = services
            .cloudwatch(format!("Action=DescribeAlarms&Version=2010-08-01&AlarmNames.member.1={alarm}"));
        alarms.contains("<StateValue>ALARM</StateValue>")
    });
    // CloudWatch looks back over whole periods before it ends an alarm, so the metric itself is read.
    api.function(|_| (std::time::Duration::ZERO, OK));
    wait::until("the lag is 0 again", || {
        let day = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).date_naive();
        let (from, to) = (day.pred_opt().unwrap(), day.succ_opt().unwrap());
        let values = services.cloudwatch(format!(
            "Action=GetMetricStatistics&Version=2010-08-01&Namespace=AWS%2FLambda&MetricName=OffsetLag\
             &Dimensions.member.1.Name=FunctionName&Dimensions.member.1.Value={function}&Statistics.member.1=Minimum\
             &Period=86400&StartTime={from}T00%3A00%3A00Z&EndTime={to}T00%3A00%3A00Z"
        ));
        values.contains("<Minimum>0.0</Minimum>")
    });
}
