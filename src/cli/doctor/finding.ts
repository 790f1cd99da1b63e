/** The result of a check. The text of a warning or failure ends with what to do. */
export interface Finding {
  readonly status: 'ok' | 'warning' | 'failed'
  readonly text: string
}

export const ok = (text: string): Finding => ({ status: 'ok', text })
export const warning = (text: string): Finding => ({ status: 'warning', text })
export const failed = (text: string): Finding => ({ status: 'failed', text })

/** Runs a check and prints its finding. An error that `run` throws becomes a failure. */
export type Check = (name: string, run: () => Promise<Finding>) => Promise<Finding>
