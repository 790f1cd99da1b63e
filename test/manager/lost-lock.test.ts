import { createServer } from 'node:http'
import { describe, expect, onTestFinished, test } from 'vitest'
import { LockingStore } from '../support/locking-store.js'
import { impatient, useManagers } from '../support/managers.js'
import { StillClock } from '../support/still-clock.js'
import { listen } from '../support/tls.js'

const t = useManagers()

describe('losing the lock', () => {
  test('repeatedly leads to at most 3 orders, then to a postponement', async () => {
    const locking = new LockingStore()
    t.store = locking
    const clock = new StillClock()
    const { manager, events } = await t.machine({ clock })
    t.store.before = (operation, key) => {
      if (operation === 'put' && key === 'a.example+token') locking.lose('a.example')
    }
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ code: 'ERR_LOCK_LOST' })
    expect(t.ca.counts.orders).toBeLessThanOrEqual(3)
    const orders = t.ca.counts.orders
    // For 5 s, requests share the error.
    await expect(manager.getCertificate('a.example')).rejects.toMatchObject({ code: 'ERR_LOCK_LOST' })
    clock.advance(5_000)
    for (let i = 0; i < 5; i++) {
      await expect(manager.getCertificate('a.example')).rejects.toMatchObject({
        code: 'ERR_ISSUANCE_POSTPONED',
      })
    }
    expect(t.ca.counts.orders).toBe(orders)
    expect(events.issuanceFailed).toBeUndefined()
    t.store.before = () => {}
    clock.advance(11_000)
    await manager.getCertificate('a.example')
  })

  test('during validation leaves the next holder’s answer in the store, and records no failure', async () => {
    const locking = new LockingStore()
    t.store = locking
    t.ca.validationDelayMs = 60_000
    const { manager, events } = await t.machine({ clock: impatient(t.clock) })
    const certificate = manager.getCertificate('a.example')
    await expect.poll(() => t.store.values.has('a.example+token')).toBe(true)
    t.ca.validationDelayMs = 0
    const theirs = Buffer.from('the next holder’s answer')
    t.store.values.set('a.example+token', theirs)
    const changes: string[] = []
    t.store.before = (operation, key) => {
      if (key === 'a.example+token' && operation !== 'get') changes.push(operation)
    }
    locking.lose('a.example')
    // The machine starts again, because no other machine has placed an order.
    expect(await certificate).toMatchObject({ host: 'a.example' })
    // The answer of its second order replaces the other one. Nothing is deleted before that.
    await expect.poll(() => changes).toEqual(['put', 'delete'])
    expect(events.issuanceFailed).toBeUndefined()
    expect(t.store.values.has('a.example+failure')).toBe(false)
  })

  test.each([
    { when: 'the order is placed', operation: 'put', key: 'acme_account+key', orders: ['valid'] },
    {
      when: 'the order requests the validation',
      operation: 'put',
      key: 'a.example+token',
      orders: ['pending', 'valid'],
    },
    { when: 'finalize', operation: 'delete', key: 'a.example+token', orders: ['ready', 'valid'] },
  ])('unnoticed, as in a suspended process, before $when stops the order', async (row) => {
    const locking = new LockingStore()
    t.store = locking
    const { manager } = await t.machine({ clock: impatient(t.clock) })
    let lost = false
    locking.before = (operation, key) => {
      if (lost || operation !== row.operation || key !== row.key || !locking.held('a.example')) return
      lost = true
      locking.loseUnnoticed('a.example')
    }
    const { serialNumber } = await manager.getCertificate('a.example')
    expect(lost).toBe(true)
    expect(t.ca.orders.map(({ status }) => status)).toEqual(row.orders)
    expect(t.ca.issued.map((issued) => issued.serialNumber)).toEqual([serialNumber])
  })

  test('during http-01 validation withdraws the answer, because its token is unique', async () => {
    const locking = new LockingStore()
    t.store = locking
    t.ca.validationDelayMs = 60_000
    const { manager } = await t.machine({ clock: impatient(t.clock) })
    const http = createServer(manager.httpHandler())
    onTestFinished(() => {
      http.closeAllConnections()
      http.close()
    })
    t.gate.target = await listen(http)
    const certificate = manager.getCertificate('a.example')
    const answers = () => [...locking.values.keys()].filter((key) => key.endsWith('+http-01'))
    await expect.poll(answers).toHaveLength(1)
    t.ca.validationDelayMs = 0
    const [answer] = answers()
    locking.lose('a.example')
    await expect.poll(answers).not.toContain(answer)
    expect(await certificate).toMatchObject({ host: 'a.example' })
  })

  test('after finalize does not keep the certificate from being fetched and stored', async () => {
    const locking = new LockingStore()
    t.store = locking
    t.ca.issuanceDelayMs = 200
    const { manager } = await t.machine({ clock: impatient(t.clock) })
    const certificate = manager.getCertificate('a.example')
    await expect.poll(() => t.ca.orders[0]?.status).toBe('processing')
    locking.lose('a.example')
    const { serialNumber } = await certificate
    await expect.poll(() => t.store.values.has('a.example')).toBe(true)
    expect(t.ca.issued.map((issued) => issued.serialNumber)).toEqual([serialNumber])
  })

  test('closing the manager after finalize does not keep the certificate from being fetched and stored', async () => {
    t.ca.issuanceDelayMs = 200
    const { manager } = await t.machine({ clock: impatient(t.clock) })
    const certificate = manager.getCertificate('a.example')
    await expect.poll(() => t.ca.orders[0]?.status).toBe('processing')
    await manager.close()
    expect(await certificate).toMatchObject({ host: 'a.example' })
    expect(t.store.values.has('a.example')).toBe(true)
  })
})
