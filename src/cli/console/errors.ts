/** The arguments or the environment are invalid. The exit code is 2, and the message refers to the help. */
export class UsageError extends Error {}

/** The command failed, and the message says what to do. The exit code is 1. */
export class CommandError extends Error {}
