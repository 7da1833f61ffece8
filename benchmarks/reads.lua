-- wrk … -- PATH ROWS [HEADER VALUE]: reads of random rows below PATH.

local requests = {}

function init(args)
   if args[3] then
      wrk.headers[args[3]] = args[4]
   end
   for number = 0, tonumber(args[2]) - 1 do
      requests[number + 1] = wrk.format("GET", args[1] .. string.format("row%012d", number))
   end
end

function request()
   return requests[math.random(#requests)]
end
