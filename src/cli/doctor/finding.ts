/** What a check found; a warning or a failure says what to do. */
export interface Finding {
  readonly status: 'ok' | 'warning' | 'failed'
  readonly text: string
}

export const ok = (text: string): Finding => ({ status: 'ok', text })
export const warning = (text: string): Finding => ({ status: 'warning', text })
export const failed = (text: string): Finding => ({ status: 'failed', text })

/** Makes a check and shows what it found; what it throws is a failure. */
export type Check = (name: string, work: () => Promise<Finding>) => Promise<Finding>
