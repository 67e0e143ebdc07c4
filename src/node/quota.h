/*
 * Project quotas: a directory, and all that is made in it, counted and limited by
 * the file system (ext4 with the feature project, mounted with prjquota; XFS with
 * pquota). Each directory gets a project of its own; which one is written on the
 * directory itself, its limit in the file system's own list, so that both outlive us.
 *
 * Linux lets the owner of a file put it into another project, outside of user
 * namespaces: this holds back programs that take too much, not those that mean to.
 *
 * All of it may wait for the disk.
 */
#ifndef NODE_QUOTA_H
#define NODE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Holds the directory to so many bytes; 0: it is only counted. An empty one gets a project first. 1: done; 0: the file
 * system has no project quotas, or the directory has files that are in no project; or an error. */
int quota_hold(const char *dir, int64_t bytes, struct err *e) MUST_CHECK;
/* What everything in it takes, whoever may look at it. False: it has no project of its own. */
bool quota_usage(const char *dir, int64_t *bytes, int64_t *inodes);
/* rm -rf as path_remove_tree, and the limit of its project with it. */
int quota_remove_tree(const char *dir, struct err *e) MUST_CHECK;

#endif
