//! What a topic is: its id, by librdkafka's C interface, because rdkafka has no call for it.
//!
//! **Safety.** Each object of librdkafka is made, used and destroyed in [`topic_id`], and the client
//! outlives the call. Results belong to their event, which is destroyed last.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka_sys as sys;

use super::batch::c_name;

/// How librdkafka's own mock calls its cluster. It never answers the question for a topic's id.
const MOCK: &str = "mockCluster";

/// The topic's id as Kafka prints it; `None` when the brokers know no ids.
///
/// # Errors
/// Why there was no answer.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Option<Arc<str>>, String> {
    let name = c_name(topic).ok_or("the topic's name holds a zero byte")?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: see the module's documentation; every pointer is checked before it is read.
    unsafe {
        let rk = client.native_ptr();
        if is_mock(rk) {
            return Ok(None);
        }
        let queue = sys::rd_kafka_queue_new(rk);
        let operation = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = sys::rd_kafka_AdminOptions_new(rk, operation);
        let no_text = std::ptr::null_mut();
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, no_text, 0);
        let mut names = [name.as_ptr()];
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
        sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms);
        let answer = if event.is_null() { Err("no answer".into()) } else { read(event) };
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// Whether the brokers are librdkafka's mock, as far as the client has heard of them.
///
/// # Safety
/// The client is alive.
unsafe fn is_mock(rk: *mut sys::rd_kafka_t) -> bool {
    // SAFETY: the text is ours until it is given back, and is copied before that.
    unsafe {
        let id = sys::rd_kafka_clusterid(rk, 0);
        if id.is_null() {
            return false;
        }
        let is_mock = text(id).starts_with(MOCK);
        sys::rd_kafka_mem_free(rk, id.cast());
        is_mock
    }
}

/// # Safety
/// The event is alive.
unsafe fn read(event: *mut sys::rd_kafka_event_t) -> Result<Option<Arc<str>>, String> {
    // SAFETY: what is read belongs to the event; texts are copied before it goes.
    unsafe {
        if sys::rd_kafka_event_error(event) != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return Err(text(sys::rd_kafka_event_error_string(event)));
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err("another answer came".into());
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if count != 1 || topics.is_null() {
            return Err(format!("{count} topics were described"));
        }
        let error = sys::rd_kafka_TopicDescription_error(*topics);
        let failed = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        if !error.is_null() && sys::rd_kafka_error_code(error) != failed {
            return Err(text(sys::rd_kafka_error_string(error)));
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
        if id.is_null()
            || (sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                && sys::rd_kafka_Uuid_least_significant_bits(id) == 0)
        {
            return Ok(None);
        }
        Ok(Some(text(sys::rd_kafka_Uuid_base64str(id)).into()))
    }
}

/// # Safety
/// The pointer is null or a text of C.
unsafe fn text(pointer: *const std::ffi::c_char) -> String {
    if pointer.is_null() {
        return "no reason given".into();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
