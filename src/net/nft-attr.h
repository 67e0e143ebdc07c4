/*
 * Attributes of the message that is being written, for nft.c and nft-expr.c.
 */
#ifndef NET_NFT_ATTR_H
#define NET_NFT_ATTR_H

#include "net/nft.h"

void nft_msg(struct nft_batch *b, int type, int flags);
void nft_msg_end(struct nft_batch *b);
void nft_put(struct nft_batch *b, int attr, const void *p, size_t n);
void nft_put_text(struct nft_batch *b, int attr, const char *text);
void nft_put_u32(struct nft_batch *b, int attr, uint32_t n);
void nft_put_u64(struct nft_batch *b, int attr, uint64_t n);
void nft_nest(struct nft_batch *b, int attr);
void nft_nest_end(struct nft_batch *b);
void nft_put_data(struct nft_batch *b, int attr, const void *p, size_t n); /* a value as registers hold it */
void nft_put_verdict(struct nft_batch *b, int attr, int code, const char *chain);
/* The value of an attribute of a message whose payload (nfgenmsg first) is p; p NULL: it has none. */
struct str nft_get(const void *p, size_t n, int attr);

#endif
