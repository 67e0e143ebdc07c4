/*
 * libnghttp2, loaded at the first gRPC probe: most nodes never have one, and what
 * nobody uses should cost nothing. A static build links it as usual.
 *
 * The only header that names it: probe-grpc.c calls ng.nghttp2_*().
 */
#ifndef NODE_NGHTTP2_H
#define NODE_NGHTTP2_H

#include <nghttp2/nghttp2.h>

#include "base/err.h"

#define NGHTTP2_FUNCTIONS(X)                                        \
	X(nghttp2_session_callbacks_new)                            \
	X(nghttp2_session_callbacks_del)                            \
	X(nghttp2_session_callbacks_set_on_header_callback)         \
	X(nghttp2_session_callbacks_set_on_data_chunk_recv_callback) \
	X(nghttp2_session_callbacks_set_on_stream_close_callback)   \
	X(nghttp2_session_client_new)                               \
	X(nghttp2_session_del)                                      \
	X(nghttp2_submit_settings)                                  \
	X(nghttp2_submit_request)                                   \
	X(nghttp2_session_mem_recv)                                 \
	X(nghttp2_session_mem_send)                                 \
	X(nghttp2_session_want_read)                                \
	X(nghttp2_strerror)

struct nghttp2 {
#define NGHTTP2_MEMBER(f) __typeof__(f) *f;
	NGHTTP2_FUNCTIONS(NGHTTP2_MEMBER)
#undef NGHTTP2_MEMBER
};
extern struct nghttp2 ng;

/* Before the first use; again does nothing. */
int nghttp2_load(struct err *e) MUST_CHECK;

#endif
