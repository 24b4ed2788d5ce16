/* qmail/pipe.h: a pipe for a program that is to be started
 * Job      both ends out of the way of descriptors 0 to 3, which the child's are made of, and closed by
 *          exec */
#ifndef QMAIL_PIPE_H
#define QMAIL_PIPE_H

/* 0, or -1 with errno: then nothing is open. */
int qmail_pipe_above(int out_fds[2]);

#endif
