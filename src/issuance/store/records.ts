import type { RenewalWindow } from '../../certificates/renewal-time.js'
import type { AcmeProblem } from '../../util/errors.js'

/** Latest `retryAt` of a valid record, in ms since the epoch: later than any CA's `Retry-After`. */
const maxRetryAt: number = Date.parse('9999-01-01')

/**
 * The failed orders of a certificate: what the CA has answered, about itself or about the host. Stored as JSON under
 * `<host>+failure`, for the whole fleet.
 */
export interface FailureRecord {
  /** How many in a row. */
  readonly failures: number
  /** No machine places an order before this time. Milliseconds since the epoch. */
  readonly retryAt: number
  /** When the record was written. Milliseconds since the epoch. */
  readonly at?: number
  /** Whether the order was to renew a certificate that is still served. */
  readonly renewal?: boolean
  /**
   * Whether the order succeeded, but the certificate was due for renewal within a quarter of its lifetime, as with wrong
   * clocks. Such a record postpones only renewals.
   */
  readonly early?: boolean
  /** The CA's problem, if it sent one. */
  readonly problem?: AcmeProblem
  /** The error message, for operators who read the store. */
  readonly message: string
}

/** Returns `undefined` for an invalid record: a half-written one must not block a host. */
export function parseFailureRecord(data: Uint8Array): FailureRecord | undefined {
  const { failures, retryAt, message, at, renewal, early, problem } = parseJson<FailureRecord>(data)
  if (!Number.isSafeInteger(failures) || (failures as number) < 1) return undefined
  if (!Number.isSafeInteger(retryAt) || typeof message !== 'string') return undefined
  if ((retryAt as number) < 0 || (retryAt as number) > maxRetryAt) return undefined
  return {
    failures: failures as number,
    retryAt: retryAt as number,
    ...(Number.isSafeInteger(at) && { at: at as number }),
    ...(renewal === true && { renewal }),
    ...(early === true && { early }),
    ...parseProblem(problem),
    message,
  }
}

/** Returns the record by a clock that is `ms` milliseconds ahead. */
export const shiftFailureRecord = (record: FailureRecord, ms: number): FailureRecord => ({
  ...record,
  retryAt: Math.max(record.retryAt + ms, 0),
  ...(record.at !== undefined && { at: record.at + ms }),
})

function parseProblem(value: unknown): { problem?: AcmeProblem } {
  const { type, detail, status } = Object(value) as Record<string, unknown>
  if (typeof type !== 'string') return {}
  return {
    problem: {
      type,
      ...(typeof detail === 'string' && { detail }),
      ...(typeof status === 'number' && { status }),
    },
  }
}

/** The CA's renewal information, stored as JSON under `<host>+renewal`. Times are in ms since the epoch. */
export interface RenewalInfoRecord {
  /** The certificate's serial number. */
  readonly serialNumber: string
  /** The suggested renewal window. `null` if the CA suggests none. */
  readonly window: RenewalWindow | null
  /** When to request it from the CA again. */
  readonly askAt: number
}

/** Returns `undefined` for an invalid record. */
export function parseRenewalInfoRecord(data: Uint8Array): RenewalInfoRecord | undefined {
  const { serialNumber, window, askAt } = parseJson<RenewalInfoRecord>(data)
  const { start, end } = Object(window) as Partial<Record<'start' | 'end', unknown>>
  if (typeof serialNumber !== 'string' || !isTime(askAt)) return undefined
  if (window === null) return { serialNumber, window, askAt }
  return isTime(start) && isTime(end) && start < end
    ? { serialNumber, window: { start, end }, askAt }
    : undefined
}

/** Parses a JSON object, whose members may have any type. Returns an empty object for anything else. */
function parseJson<T>(data: Uint8Array): Partial<Record<keyof T, unknown>> {
  try {
    return Object(JSON.parse(Buffer.from(data).toString())) as Partial<Record<keyof T, unknown>>
  } catch {
    return {}
  }
}

/** Limited to the range of a Date: between larger numbers, the arithmetic for a random time can give NaN. */
const isTime = (value: unknown): value is number => typeof value === 'number' && Math.abs(value) <= 8.64e15
