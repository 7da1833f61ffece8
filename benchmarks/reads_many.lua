-- wrk … -- PATH ROWS: reads of random rows below PATH, of more than can be spelled beforehand.

local path, rows

function init(args)
   path, rows = args[1], tonumber(args[2])
   math.randomseed(os.time())
end

function request()
   return wrk.format("GET", path .. string.format("row%012d", math.random(0, rows - 1)))
end
