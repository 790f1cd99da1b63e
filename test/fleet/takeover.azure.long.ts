import { azurePlace } from './places.js'
import { beforeFinalize, beforeOrder, challengePending, type Stage, takeoverCases } from './takeover-cases.js'

const beforePut: Stage<Awaited<ReturnType<Awaited<ReturnType<typeof azurePlace>>['way']>>> = [
  'before put',
  (_, { way: { tap } }) => {
    let held = 0
    tap.fault((method, path) => {
      if (method !== 'PUT' || !path.endsWith('/a.fleet.example')) return undefined
      held += 1
      return 'hang'
    })
    return () => held
  },
]

const all = [beforeOrder, challengePending, beforeFinalize, beforePut]
takeoverCases('Azure Blob Storage', azurePlace, { killed: all, stopped: all, cutOff: true })
