import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientRequest } from 'node:http'
import { expect, test } from 'vitest'
import type { Endpoint } from '../../src/testing/index.js'
import { impatient, useManagers } from '../support/managers.js'

const t = useManagers()

/** Resolves when the header of a response has arrived. */
const answer = (on: Endpoint) =>
  new Promise<void>((resolve) => {
    const listen = (message: unknown) => {
      const { request } = message as { request: ClientRequest }
      if (request.path.split('/')[1] !== on) return
      unsubscribe('http.client.response.finish', listen)
      resolve()
    }
    subscribe('http.client.response.finish', listen)
  })

test.each(['finalize', 'certificate'] as const)(
  'a %s response that stalls in its body is requested again after 30 s',
  async (on) => {
    const { manager, events } = await t.machine({ clock: impatient(t.clock) })
    t.ca.fault({ on, breakOff: 'stall' })
    const answered = answer(on)
    // This caller may time out before the certificate arrives.
    manager.getCertificate('a.example').catch(() => undefined)
    await answered
    t.clock.jump(30_000)
    await expect.poll(() => events.issued).toHaveLength(1)
    expect(t.ca.counts).toMatchObject({ orders: 1, certificates: 1 })
  },
)

test.each(['directory', 'newAccount', 'newOrder', 'authz', 'challenge', 'order'] as const)(
  'a %s response that stalls in its body fails the attempt after 30 s',
  async (on) => {
    const { manager, events } = await t.machine()
    t.ca.fault({ on, breakOff: 'stall', times: Number.POSITIVE_INFINITY })
    const answered = answer(on)
    const attempt = manager.getCertificate('a.example').catch((reason: unknown) => reason)
    await answered
    t.clock.jump(30_000)
    expect(await attempt).toBeInstanceOf(Error)
    await expect
      .poll(() => events.issuanceFailed)
      .toMatchObject([
        { error: { name: 'IssuanceError', message: expect.stringMatching(/request to .* failed: .*30 s/) } },
      ])
    expect(t.store.values.has('a.example')).toBe(false)
  },
)
