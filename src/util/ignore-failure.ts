/**
 * Waits for `promise`, and ignores its rejection.
 * @param _reason why the rejection needs no reaction: for the reader of the call
 */
export const ignoreFailure = (promise: Promise<unknown>, _reason: string): Promise<void> =>
  promise.then(() => {}).catch(() => {})
