/*
 * Ordered trees and lists: the BSD macros (RB_*, TAILQ_*, LIST_*, SLIST_*).
 * Ordered trees are the default for API data: LIST by prefix, continue tokens
 * and stable output need order.
 */
#ifndef BASE_TREE_H
#define BASE_TREE_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#endif
