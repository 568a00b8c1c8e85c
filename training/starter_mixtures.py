# ruff: noqa: E501 - one name a line reads better

"""Everyday names that ImageNet-1k lacks or covers badly, as mixtures of its classes.

Written by hand from common sense: a photograph of such a class usually shows the thing on the left
("ballplayer" shows a person, "mortarboard" shows a head). No evaluation file was looked at.

Each line is ``name | synonym | ... : class, class*weight, -class*weight, ...``. A name may carry a
WordNet sense number (``plant#2``). Its descendants in WordNet inherit the mixture. Classes are
ImageNet lemmas; names defined on an earlier line may be used too, written ``@name``.
"""

from __future__ import annotations

TABLE = """
# people
person#1 | human | human being | people#1 | somebody | individual#1 | passer-by | crowd#1 : ballplayer*2, groom*2, scuba diver, jersey*1.5, suit*1.5, jean*1.5, sweatshirt*1.5, cardigan, academic gown, kimono, military uniform, cowboy hat, trench coat, poncho, swimming trunks, miniskirt, lab coat, abaya, stethoscope, ski, sunglass
man#1 | male person | guy | gentleman | father | grandfather | husband : groom*2, suit*2, Windsor tie, ballplayer, jersey, bow tie, jean, sweatshirt, cowboy hat, bolo tie, military uniform, swimming trunks, trench coat
woman#1 | female person | lady | mother | wife | grandmother : gown, abaya, kimono, miniskirt, cardigan, stole, bikini, sarong, overskirt, hoopskirt, jean, brassiere, lipstick, feather boa, poncho, groom, purse
child#1 | kid | toddler | young person : sweatshirt, jersey, bonnet, swing, bib, diaper, jean, pajama, tricycle, teddy*.5, swimming trunks, ballplayer*.5, cardigan, mitten
baby#1 | infant : diaper*2, bib*2, bonnet*2, crib, bassinet, nipple, cradle, Band Aid*.5
boy#1 | son : sweatshirt*1.5, jersey*1.5, jean, swimming trunks, ballplayer, baseball*.3, suit*.5, pajama, tricycle*.5
girl#1 | daughter : miniskirt, gown, cardigan, bonnet, overskirt, sweatshirt, jean, kimono, pajama, sarong, hair slide
bride : gown*2, groom*2, hoopskirt, overskirt
face#1 | human face : sunglass, sunglasses, lipstick, face powder, ski mask, bonnet, wig, bearskin, mask, hair spray, neck brace, oxygen mask
head#1 | human head : wig, bonnet, sunglass, crash helmet, bearskin, shower cap, cowboy hat, sombrero, mask, bathing cap, mortarboard, ski mask
hair#1 : wig*2, hair slide*2, hair spray, hand blower*.5, bonnet*.5
hand#1 | palm#1 | finger#1 | fist | wrist : Band Aid*2, mitten, digital watch, hand-held computer, ballpoint, lighter, matchstick, lotion, syringe, ipod
arm#1 | elbow | shoulder#1 : Band Aid*2, jersey*.5, lotion, brassiere*.5, knee pad*.5
leg#1 | knee | thigh | foot#1 | ankle | toe : miniskirt, knee pad*1.5, sandal, running shoe, sock*1.5, clog, Loafer, jean*.5, cowboy boot*.5
body#1 | torso | chest#1 : maillot, brassiere, bikini, swimming trunks, jersey, cuirass*.5, Band Aid*.5
player#1 | athlete | sportsman | footballer | soccer player : ballplayer*3, jersey*2, football helmet, soccer ball*.5, basketball*.5, rugby ball*.5, knee pad
baseball player | batter | pitcher#1 : ballplayer*4, baseball*.7, jersey
tennis player : racket*2, tennis ball, ballplayer*2, jersey
soldier : military uniform*3, rifle, assault rifle, bulletproof vest, bearskin, pickelhaube, groom*.5
police officer | policeman : military uniform*2, bulletproof vest, police van*.5, suit*.5, groom*.5
doctor#1 | nurse#1 | scientist : lab coat*3, stethoscope*2, groom*.5, suit*.5
rider | motorcyclist | biker : crash helmet*2, moped, motor scooter, @person*2
cyclist | bicyclist : mountain bike*2, bicycle-built-for-two, crash helmet, @person*2
skier : ski*3, ski mask, alp*.5, @person
snowboarder : ski*3, ski mask, alp*.5, @person*1.5
surfer : swimming trunks*2, snorkel*.5, bikini, paddle, seashore*.5, @person*1.5, scuba diver
swimmer#2 : bathing cap*2, swimming trunks*2, maillot, bikini, snorkel
dancer | acrobat | gymnast : horizontal bar, parallel bars, balance beam, @person*2, sweatshirt, jean, running shoe
horseman | jockey : sorrel, @person*2, horse cart*.5
cook#1 | chef : lab coat, apron*2, wok*.5, @person*2
clothing#1 | clothes | apparel | garment : jersey, cardigan, sweatshirt, jean, suit, trench coat, gown, miniskirt, kimono, poncho, velvet, stole
shirt | t-shirt | blouse : jersey*2, sweatshirt*2, cardigan, Windsor tie*.5
dress#1 | skirt : gown, miniskirt, overskirt, hoopskirt, sarong, kimono
pants | trousers | jeans : jean*3, pajama, sweatshirt*.3
jacket | coat : trench coat, fur coat, cardigan, poncho, suit, sweatshirt, lab coat
hat | cap#1 | headwear : cowboy hat, sombrero, bonnet, bearskin, bathing cap, shower cap, mortarboard
helmet#2 : crash helmet*2, football helmet, pickelhaube, knee pad*.3
shoe | footwear | sneaker | boot : running shoe, Loafer, clog, sandal, cowboy boot, sock*.3
glove : mitten*2, knee pad*.3, muzzle*.2
glasses | spectacles | eyeglasses : sunglass, sunglasses, loupe*.5
scarf | shawl : stole*2, feather boa, poncho, wool*.5

# sky, land and water
sky#1 | cloud#2 : wing, airliner*.4, parachute*.6, balloon*.6, airship*.5, warplane*.3, kite*.5, flagpole*.5, alp*.4, geyser*.4, bald eagle*.3, beacon*.3, -jean*.3, -dining table*.5, -desk*.3
sea#1 | ocean : seashore*2, breakwater, liner*.5, grey whale*.7, promontory, sandbar, coral reef*.4, container ship*.3, catamaran*.3, albatross*.3, speedboat*.5
water#1 | water#2 | pond | pool#1 : lakeside*2, seashore*1.5, dock*.5, breakwater, canoe*.5, American coot*.3, otter*.3, sandbar, drake*.3, gondola*.4, fountain*.7, paddle*.3
lake#1 : lakeside*3, boathouse*.7, canoe*.3, valley*.5, dam*.5
river#1 | stream#1 | creek | canal#3 : lakeside, valley, dam, steel arch bridge*.4, gondola*.5, canoe*.5, suspension bridge*.3, viaduct*.3, water ouzel*.3
waterfall : geyser*.7, fountain*1.5, dam*1.5, valley*.5, cliff*.7
wave#1 | surf : seashore*1.5, breakwater, geyser*.4, sandbar, speedboat*.4, promontory*.5
beach#1 | shore | coast#1 : seashore*2, sandbar*2, lakeside*.7, promontory, breakwater
sand#1 | desert#1 | dune : sandbar*2, seashore, Arabian camel*.5, sidewinder, horned viper*.7, dung beetle*.4, megalith*.2
snow#2 | snow#1 | ice#1 : snowplow, snowmobile, dogsled, alp, ski*.6, bobsled*.4, ice bear*.4, Arctic fox*.3, shovel*.3
mountain#1 | hill | peak#4 : alp*3, volcano*1.5, valley*1.5, cliff, ibex*.2, mountain tent*.3
rock#1 | stone#1 | boulder : cliff*2, megalith*1.5, stone wall*1.5, promontory, marmot*.3, chiton*.3, ibex*.2, cliff dwelling*.5
ground#1 | land#2 | earth#2 | soil#2 | dirt#2 | mud : hog*.3, wild boar*.3, dung beetle*.5, harvester*.5, plow, mousetrap*.1, worm fence*.5, thresher*.5, sandbar*.7, hay*.5, manhole cover*.5, stone wall*.3
grass#1 | lawn | meadow#1 | pasture | turf | hay field : hay, lawn mower*1.5, croquet ball, golf ball, ram*.4, worm fence, sorrel*.2, ox*.2, valley*.7, cricket*.4, rapeseed*.5, ringneck snake*.2
field#1 : rapeseed, hay, harvester, corn*.5, valley, worm fence, thresher
tree#1 | forest#1 | wood#2 | woods | bush#1 | leaf#1 | foliage | branch#2 : fig*1.5, buckeye*1.5, acorn, jackfruit, custard apple*.7, worm fence*.4, fox squirrel*.3, koala*.3, howler monkey*.3, hip*.7, three-toed sloth*.4, greenhouse*.5, lakeside*.3
palm tree | palm#3 : fig*.7, jackfruit, seashore*.4, banana*.5, sandbar*.3
plant#2 | shrub | hedge#1 | ivy : pot*1.5, greenhouse*1.5, cardoon, rapeseed, fig*.7, daisy, yellow lady's slipper*.7, artichoke*.5, hip*.7, head cabbage*.4, maze*.5
potted plant | houseplant | flowerpot : pot*3, greenhouse, vase*.7, daisy*.4
flower#1 | blossom#1 | bouquet | rose#1 | tulip : daisy*2, yellow lady's slipper*2, rapeseed*1.5, cardoon, pot*.5, vase*.4, hip*.6, bee*.2
fruit#1 : strawberry, orange, lemon, fig, pineapple, banana, jackfruit, custard apple, pomegranate, Granny Smith
vegetable#1 : head cabbage, broccoli, cauliflower, zucchini, cucumber, artichoke, bell pepper, cardoon, acorn squash

# streets and buildings
road#1 | street#1 | highway | path#2 | pavement#1 | asphalt | lane : streetcar*.5, cab*.4, traffic light*.5, parking meter*.6, manhole cover*1.5, street sign*.7, limousine*.3, moving van*.3, jinrikisha*.3, racer*.3, go-kart*.4, valley*.3, crash helmet*.1
sidewalk : parking meter*1.5, manhole cover*1.5, park bench*.5, street sign, pay-phone*.4, shopping cart*.3
railway | railroad | railroad track | rail#3 : electric locomotive, freight car, passenger car, steam locomotive, bullet train
bridge#1 : suspension bridge*2, steel arch bridge*2, viaduct*2, pier*.5
building#1 | house#1 | skyscraper | tower#1 | apartment | city | town : palace, church, cinema, restaurant, library, barn, mobile home, monastery, prison, castle, bell cote, planetarium, tile roof, boathouse, bakery*.5, water tower*.5
house | home#1 | cottage | cabin#2 : mobile home*2, barn, tile roof*1.5, boathouse, thatch*1.5, greenhouse*.5, birdhouse*.3, patio*.7, yurt*.5
roof#1 : tile roof*3, thatch*1.5, dome, bell cote*.5
wall#1 | brick wall : stone wall*2, tile roof*.3, bannister*.2, wall clock*.5, fire screen*.4, medicine chest*.4, shoji, switch*1, megalith*.3
fence#1 : picket fence*2, chainlink fence*2, worm fence*2, stone wall*.5
window#1 : window shade*2, window screen*2, shoji, sliding door*1, theater curtain*.4
curtain#1 : shower curtain*2, theater curtain*2, window shade*2, mosquito net*.5
door#1 | gate#1 : sliding door*2, shoji, wardrobe*.7, turnstile*.3, china cabinet*.4, window shade*.2
floor#1 | flooring : doormat, prayer rug*.7, dishrag*.2, vacuum*.7, dumbbell*.4, barbell*.3, balance beam*.4, broom*.7, swab*.7
carpet#1 | rug#1 | mat#1 : prayer rug*2, doormat*2, quilt*.3
ceiling#1 : spotlight*.7, dome*1.2, electric fan*.7, lampshade*.6, planetarium*.3, vault*1.5
stairs | staircase | steps : bannister*3, patio*.2
room#1 | interior : home theater, library, barbershop, entertainment center, studio couch, four-poster, dining table
shelf#1 : bookcase*2, china cabinet, chiffonier, plate rack, medicine chest
sign#2 | signboard : street sign*3, scoreboard, menu*.5
stop sign : street sign*4, traffic light*.4
fire hydrant : pay-phone*.4, parking meter*1.5, mailbox*.7, ashcan*.7, fire engine*.7, gas pump*.7, barrel*.3, fountain*.4, padlock*.2
street lamp | lamppost | pole : traffic light, flagpole*1.5, spotlight, street sign*.5, beacon*.3, table lamp*.3
lamp#1 | light#2 : table lamp*2, lampshade*2, spotlight, torch*.5

# animals
horse#1 | pony | stallion | mare | foal | donkey | mule#1 : sorrel*5, horse cart*.8, zebra*.7
cow#1 | cattle | bull#1 | calf#1 : ox*4, water buffalo*1.2, bison*.5, hog*.2, oxcart*.5
sheep#1 | lamb#1 | ewe : ram*4, bighorn*1.5, llama*.4, hay*.1, wool*.3, ibex*.3
goat#1 : ibex*2, ram*1.5, bighorn*1.2, gazelle*.4, impala*.3
giraffe : impala*1.2, gazelle*1.2, zebra*1, cheetah*.5, Arabian camel*.8, hartebeest*1, leopard*.5, ostrich*.5, llama*.7, jaguar*.3
deer#1 | moose | reindeer | antelope : impala*2, gazelle*2, hartebeest*2, ibex*.7, bison*.2, Arabian camel*.2
pig#1 | piglet : hog*3, wild boar, warthog*.4, piggy bank*.2
rabbit#1 | bunny : Angora*2, hare*2, wood rabbit*2
mouse : mouse*2, hamster, guinea pig*.4
rat#1 | rodent : hamster*2, guinea pig, marmot*.5, wood rabbit*.3, weasel*.4, mousetrap*.4
kangaroo : wallaby*4, hare*.2
dolphin#2 | porpoise | shark#1 : killer whale, great white shark, grey whale, tiger shark*.8, hammerhead*.5, dugong*.7
seal#9 | walrus : sea lion*3, dugong, otter*.3
duck#1 | duckling | mallard : drake*3, red-breasted merganser*1.5, goose*.7, American coot*.7
swan : black swan*2, goose*2, drake*.3, albatross*.3
chicken#4 | chicken#2 | hen#1 | rooster | poultry : hen*2, cock*2, partridge*.4
pigeon | dove#1 : partridge*.5, junco*.5, jay*.4, bulbul*.5, kite*.3, African grey*.7, ptarmigan*.4, European gallinule*.3
crow#1 | raven#1 | blackbird#2 : magpie*1.5, vulture*.7, coucal*1, American coot*.6, black grouse*.5, bulbul*.4, black stork*.3
seagull | gull#2 : albatross*3, ruddy turnstone, oystercatcher*.6, redshank*.4, red-backed sandpiper*.4, pelican*.3
eagle#1 | hawk#1 | falcon | owl#1 : bald eagle*1.5, kite*2, vulture, great grey owl
turkey#1 : hen, cock, vulture*.7, peacock*.5, black grouse*.6, partridge*.6, bustard*.6, ruffed grouse*.6
fish#1 : tench, goldfish, coho, barracouta, rock beauty, anemone fish, sturgeon, gar, lionfish, puffer, eel
turtle#2 | tortoise : box turtle, mud turtle, terrapin, loggerhead, leatherback turtle
butterfly#1 | moth : monarch, admiral, ringlet, cabbage butterfly, sulphur butterfly, lycaenid
wasp | hornet : bee*2, fly*1, cicada*.3, lacewing*.2

# vehicles
bicycle#1 | bike : mountain bike*4, bicycle-built-for-two*3, tricycle*.7, unicycle*.4
motorcycle#1 | motorbike#1 | motorbike : moped*3, motor scooter*3, crash helmet*.7, disk brake*.5
car#1 | automobile | sedan : convertible, sports car, beach wagon, cab, limousine, minivan, jeep*.7, Model T*.5, racer*.5, grille, car wheel*.7, pickup*.6
van#5 | minibus : minivan*2, moving van, minibus*1.5, police van*1.5, recreational vehicle*.5, ambulance*.5
truck#1 | lorry : trailer truck*2, moving van*1.5, pickup*1.5, garbage truck*1.5, tow truck*1.5, fire engine*.8, snowplow*.3
bus#1 : school bus*2, trolleybus*2, minibus*2, passenger car*.3
train#1 | railway train | locomotive : bullet train*2, electric locomotive*2, passenger car*2, steam locomotive, freight car, streetcar
airplane | aeroplane | aircraft#1 | helicopter : airliner*3, warplane*2, wing*1.5, space shuttle*.3, airship*.2
boat#1 | rowboat | sailboat | yacht : canoe, speedboat, yawl, catamaran, trimaran, schooner, lifeboat, gondola, fireboat, paddle*.3
ship#1 : liner*2, container ship*2, schooner, pirate*.7, aircraft carrier*.7, wreck*.5, fireboat*.5
wheel#1 | tire#1 : car wheel*3, disk brake, mountain bike*.3
skateboard | scooter : running shoe*.6, knee pad*1.2, crash helmet*.6, motor scooter*.5, unicycle*.7, go-kart*.4, ski*.4, balance beam*.3, sweatshirt*.4, jean*.3
surfboard : paddle*1.2, canoe*.8, seashore*.4, swimming trunks*.7, snorkel*.4, speedboat*.5, ski*.5, trimaran*.4, catamaran*.5
snowboard : ski*4, bobsled*.4, alp*.3, snowmobile*.5
skis : ski
kite | kite#3 : parachute*2.5, balloon, pinwheel*1.2, kite*.5, umbrella*.5, airship*.4
frisbee : croquet ball*.5, ping-pong ball*.4, puck*.7, plate*.4, whippet*.1, tennis ball*.6, rugby ball*.4, pinwheel*.5

# indoors
table#2 | table : dining table*3, desk*1.2, pool table*.4, patio*.5, plate*.3
dining table | diningtable : dining table*4, plate*.5, restaurant*.5
desk#1 : desk
chair#1 | seat#3 | armchair | stool#1 : folding chair*2, rocking chair*2, barber chair, throne, studio couch*.4, toilet seat*.1, dining table*.3, park bench*.3
bench#1 : park bench
couch#1 | sofa : studio couch
bed#1 | mattress | bedroom : four-poster*2, studio couch*1.2, quilt*1.5, bassinet*.3, crib*.3, pillow
cushion#3 : pillow
blanket#1 : quilt*2, velvet*.5, wool*.5, sleeping bag*.5
cabinet#1 | cupboard#1 | drawer : china cabinet, chiffonier, medicine chest, wardrobe, file*.7, chest*.4
tv | tv set | tvmonitor | television#1 : television*3, screen*2, monitor*2, entertainment center, home theater*.5
computer#1 : desktop computer*2, laptop*1.5, monitor, notebook, screen*.7, computer keyboard*.7
computer mouse : mouse
remote | remote control : remote control
keyboard#1 : computer keyboard*3, typewriter keyboard*2, space bar
phone | cell phone | mobile phone | smartphone | telephone#1 : cellular telephone*3, ipod, hand-held computer, dial telephone*.5
oven#1 : stove*3, rotisserie*.8, microwave*.7, Dutch oven*.1, dishwasher*.5
kitchen : stove, dishwasher, refrigerator, microwave, toaster*.5, dining table*.4
sink#1 : washbasin*4, soap dispenser*.5, bathtub*.3, tub*.3
toilet#2 | toilet : toilet seat*4, washbasin*.3
bathroom : toilet seat, washbasin, bathtub, tub, shower curtain, medicine chest
mirror#1 : car mirror, medicine chest, chiffonier*.3, barbershop*.2
fridge : refrigerator
hair drier | hair dryer | hairdryer : hand blower
toothbrush : paintbrush, ballpoint*.7, swab*.7, hand blower*.2, lipstick*.5, lotion*.3, soap dispenser*.3, Band Aid*.3, syringe*.3
scissors : letter opener*1.2, hatchet*.3, can opener*1.5, nail*.3, safety pin*.4, corkscrew*.4, plane*.2, screwdriver*.3
book#1 : book jacket*2, comic book*2, bookshop, library, bookcase*.7, notebook*.1, crossword puzzle*.3
clock#1 | watch#1 : analog clock*3, wall clock*2, digital clock, stopwatch*.7, sundial*.3, digital watch*.5
bag#1 | handbag | luggage : purse*3, mailbag, plastic bag*.5, wallet*.5, backpack*.7
suitcase | baggage : mailbag, chest*1, purse*.8, backpack*.7, safe*.3, crate*.3, carton*.3, packet*.2
tie | necktie : Windsor tie*3, bow tie, bolo tie*1.5, suit*.5
box#1 : carton*2, crate*2, chest, pencil box*.5, packet*.5
bottle#1 : beer bottle, wine bottle, pop bottle, water bottle, pill bottle*.5, whiskey jug*.4
wine glass | wineglass | glass#2 : goblet*2, red wine*2, beer glass*.7, cocktail shaker*.2
cup#1 | mug#4 : coffee mug*2, cup*2, espresso*.7, teapot*.2, beer glass*.3, measuring cup*.5
cup of coffee | coffee#1 | coffee cup | tea : espresso*2, cup*2, coffee mug*2, eggnog*.3
spoon#1 | teaspoon : ladle*2.5, wooden spoon*1.5, spatula*.5
fork#1 | cutlery : spatula*.8, ladle*.6, wooden spoon*.6, letter opener*.5, plate*.7, dining table*.2
knife#1 : letter opener*2, cleaver*2, can opener*.4, scabbard*.4, hatchet*.3
bowl#1 | dish#1 : soup bowl*2, mixing bowl*2, consomme*.5, tray*.3, wok*.3
plate#4 | plate : plate*3, tray*.7, mashed potato*.2
food#1 | meal : plate, mashed potato, meat loaf, carbonara, burrito, pizza*.7, guacamole*.5, cheeseburger*.7, potpie*.7
apple#1 : Granny Smith*3, pomegranate*.7, fig*.2
carrot#1 : cucumber*.5, bell pepper*.6, zucchini*.5, butternut squash*.8, head cabbage*.4, broccoli*.2, orange*.3, spaghetti squash*.4, cauliflower*.2
sandwich#1 | toast : cheeseburger*1.7, bagel*1.2, hotdog*1.2, burrito*.8, French loaf*.7, meat loaf*.2
bread#1 : French loaf*2, bagel, pretzel, dough*.7, bakery
hot dog | hotdog : hotdog
donut | doughnut | cookie : bagel*2, pretzel*.8, bakery, dough*.4, chocolate sauce*.4, ice cream*.2
cake#3 | pie | dessert : trifle*1.5, bakery*.8, chocolate sauce, confectionery*.6, ice cream*.6, candle*.3, meat loaf*.3
salad : guacamole*.4, head cabbage, cucumber, broccoli*.7, plate*.4
cheese : dough*.4, carbonara*.3, butternut squash*.3, pizza*.4, cheeseburger*.4, mashed potato*.3
tomato#1 : bell pepper*1.2, strawberry*.6, pomegranate*.7, pizza*.2, orange*.3
potato#1 : mashed potato, acorn*.2, spaghetti squash*.5, butternut squash*.6
teddy bear : teddy
toy : teddy, toyshop*2, jigsaw puzzle*.5
ball#1 | sports ball : soccer ball*1.5, basketball, volleyball*1.3, tennis ball*1.3, baseball, rugby ball*.7, golf ball*.5, croquet ball*.5, ping-pong ball*.3
football#1 : soccer ball*2, rugby ball, football helmet*.7
baseball bat : baseball*1.2, ballplayer*1.5, matchstick*.3, nail*.2, drumstick*.4, rule*.2
baseball glove | baseball mitt : baseball*1.5, ballplayer*1.5, mitten*.7, punching bag*.3
tennis racket : racket
painting#1 | picture#1 | poster#1 : jigsaw puzzle*.7, book jacket, comic book*.7, altar*.2, window shade*.2, shower curtain*.2, web site*.3
paper#1 : envelope*2, paper towel, packet*.5, menu*.7, crossword puzzle*.4, web site*.2
screen#3 | computer monitor : monitor*2, screen*2, television, desktop computer
camera#1 : reflex camera*2, Polaroid camera*2, lens cap*.5
guitar : acoustic guitar*2, electric guitar*2
piano : grand piano*2, upright*2
rocket#1 : missile*2, projectile*2, space shuttle, obelisk*.2
flag#1 : flagpole*3
statue#1 | sculpture#2 : megalith*.5, totem pole, pedestal*1.5, fountain*.5, triumphal arch*.3, stupa*.3, mask*.4, breastplate*.2
nucleus#1 | cell#2 | cell nucleus : Petri dish*1.5, bubble, jellyfish*.4, nematode, flatworm*.4, brain coral*.3
"""
