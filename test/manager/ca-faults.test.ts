import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { EncryptedCertCache, IssuanceError } from '../../src/index.js'
import { day, refusal, sniCallback, useManagers } from '../support/managers.js'
import { handshake } from '../support/tls.js'

const t = useManagers()

describe('a CA that fails', () => {
  test('no machine orders a refused host again before its retry time; a success removes the record', async () => {
    const one = await t.machine()
    t.ca.fault({ on: 'challenge', invalid: true, type: 'unauthorized', detail: 'not yours', times: 2 })
    await expect(handshake(one.tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    const two = await t.machine()
    for (const { tlsPort } of [one, two]) {
      await expect(handshake(tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    }
    expect(t.ca.ordersFor('a.example')).toBe(1)
    expect(one.events.issuanceFailed).toMatchObject([
      {
        host: 'a.example',
        error: { problem: { type: expect.stringMatching(/unauthorized$/), detail: 'not yours' } },
      },
    ])
    expect(two.events.handshakeFailed).toMatchObject([{ error: { code: 'ERR_ISSUANCE_POSTPONED' } }])

    t.clock.jump(67_000) // 1 minute, and a tenth of it at most
    await expect(handshake(two.tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    t.clock.jump(67_000)
    await expect(handshake(two.tlsPort, 'a.example')).rejects.toMatchObject(refusal)
    expect(t.ca.ordersFor('a.example')).toBe(2)
    t.clock.jump(660_000)
    await handshake(two.tlsPort, 'a.example')
    expect(t.ca.ordersFor('a.example')).toBe(3)
    expect([...t.store.values.keys()].sort()).toEqual(['a.example', 'acme_account+key', 'acme_probe'])
  })

  test('a Retry-After is honoured and reported as retryAt', async () => {
    const { manager } = await t.machine()
    const fault = t.ca.fault({ on: 'newOrder', type: 'rateLimited', retryAfter: 86_400, times: 1 })
    const error: unknown = await manager.getCertificate('a.example').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(IssuanceError)
    const { retryAt, problem } = error as IssuanceError
    expect(problem).toMatchObject({ type: 'urn:ietf:params:acme:error:rateLimited', status: 429 })
    expect(fault.hits).toBe(1)
    expect(Math.round((Number(retryAt) - t.clock.now()) / 60_000)).toBe(1_440)
    const postponed = {
      code: 'ERR_ISSUANCE_POSTPONED',
      // The message does not suggest that another request was sent to the CA.
      message: expect.stringMatching(/^the order for "a\.example" is postponed until 20.*rateLimited/),
    }
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject(postponed)
    t.clock.jump(day - 60_000)
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject(postponed)
    t.clock.jump(60_000)
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
  })

  test('an unreachable CA counts as a failure', async () => {
    const { manager } = await t.machine({
      acme: { termsOfServiceAgreed: true, directoryUrl: 'https://127.0.0.1:1/directory', keyPrefix: '' },
    })
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_FAILED',
      message: expect.stringMatching(/^the request to https:.* failed: ECONNREFUSED$/),
    })
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_ISSUANCE_POSTPONED',
    })
  })

  test('a CA that hangs ends the handshake after 30 s, and the order later, which is not recorded for the fleet', async () => {
    const { manager, events } = await t.machine()
    const fault = t.ca.fault({ on: 'newOrder', hang: true })
    const answer = sniCallback(manager)('a.example')
    await expect.poll(() => fault.hits).toBe(1)
    t.clock.jump(30_000)
    await answer
    expect(events.handshakeFailed).toMatchObject([{ error: { code: 'ERR_DEADLINE' } }])
    expect(events.issuanceFailed).toBeUndefined()
    t.clock.jump(270_000)
    await expect.poll(() => events.issuanceFailed).toMatchObject([{ error: { code: 'ERR_ISSUANCE_FAILED' } }])
    // The CA has not responded: that may concern this machine alone.
    expect(t.store.values.has('a.example+failure')).toBe(false)
  })

  test('a slow order continues after its handshakes have timed out', async () => {
    t.ca.validationDelayMs = 300
    const { manager, tlsPort } = await t.machine()
    const started = t.clock.now()
    const answer = sniCallback(manager)('a.example')
    await expect.poll(() => t.ca.counts.validations + t.ca.counts.orders).toBeGreaterThan(0)
    // Exceeds the handshake's budget, but not that of a request that began later.
    t.clock.jump(started + 30_010 - t.clock.now())
    await answer
    const [{ serialNumber }] = await once(manager, 'issued')
    expect(await handshake(tlsPort, 'a.example')).toMatchObject({ serialNumber })
    expect(t.ca.counts.orders).toBe(1)
  })

  test('the order after a failure uses the other challenge type', async () => {
    const { manager } = await t.machine()
    manager.httpHandler() // never mounted: port 80 is blocked
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
    t.clock.jump(67_000)
    expect(await manager.getCertificate('a.example')).toMatchObject({ host: 'a.example' })
  })

  test('an account that the CA has lost is registered again with the same key', async () => {
    const { manager } = await t.machine()
    await manager.getCertificate('a.example')
    const key = t.store.values.get('acme_account+key')
    t.ca.fault({ on: 'newOrder', type: 'accountDoesNotExist' })
    await expect(manager.getCertificate('b.example')).rejects.toMatchObject({ code: 'ERR_ISSUANCE_FAILED' })
    t.clock.jump(67_000)
    await manager.getCertificate('b.example')
    expect(t.store.values.get('acme_account+key')).toEqual(key)
  })

  test('an invalid stored account key is not replaced, and the error says what to do', async () => {
    t.store.values.set('acme_account+key', Buffer.from('rubbish'))
    const { manager } = await t.machine()
    await expect(manager.getCertificate('a.example')).rejects.toThrow(
      /"acme_account\+key" is not a private key in PEM\. Restore it/,
    )
    expect(t.store.values.get('acme_account+key')).toEqual(Buffer.from('rubbish'))
    expect(t.ca.counts.accounts).toBe(0)
  })

  test('an encrypted account key is not called invalid: deleting it would lose the account', async () => {
    const keys = { current: { id: '1', key: randomBytes(32) } }
    await new EncryptedCertCache(t.store, { keys }).put('acme_account+key', Buffer.from('a key'))
    const { manager } = await t.machine()
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
      code: 'ERR_STORE_DECRYPT',
      message: expect.stringMatching(
        /"acme_account\+key" is encrypted\. Pass the store to EncryptedCertCache/,
      ),
    })
    expect(t.ca.counts.accounts).toBe(0)
  })
})
