import { years } from './years.js'

years(6)
